"""The check of a query before it is sent: its text, taken apart just far enough to refuse what is not reading.

An embedded engine opened read-only still reads and writes other files (LOAD FROM, COPY ... TO, EXPORT DATABASE),
installs extensions, changes its settings and falls over at CHECKPOINT; so the text is checked before it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from csrms_dist.errors import StoreError

_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<text>'[^'\\]*'|"[^"\\]*")
    |(?P<quoted>`[^`]*`)
    |(?P<parameter>\$[A-Za-z_][A-Za-z0-9_]*)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>[0-9][0-9.]*)
    |(?P<space>\s+)
    |(?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
_FIRST = frozenset(("MATCH", "OPTIONAL", "UNWIND", "WITH", "RETURN"))
# fmt: off
_WRITING = frozenset((
    "ALTER", "ATTACH", "BEGIN", "CALL", "CHECKPOINT", "COMMENT", "COMMIT", "COPY",
    "CREATE", "DELETE", "DETACH", "DROP", "EXPORT", "FOREACH", "IMPORT", "INSERT",
    "INSTALL", "LOAD", "MERGE", "REMOVE", "ROLLBACK", "SET", "UNINSTALL", "USE",
))
# fmt: on
Token = tuple[str, str]


def tokens(text: str) -> list[Token]:
    """(kind, text): text, quoted, parameter, word, number, space or sign; a comment is a space."""
    parts = [(str(match.lastgroup), match.group()) for match in _TOKEN.finditer(text)]
    return [("space", " ") if kind == "comment" else (kind, part) for kind, part in parts]


def parameters(text: str) -> list[str]:
    """The names of the parameters in a query, without `$`, in order of appearance."""
    return list(dict.fromkeys(token[1:] for kind, token in tokens(text) if kind == "parameter"))


def reading(text: str, params: Mapping[str, Any]) -> str:
    """The query without its comments, if it is one reading statement and `params` are exactly its parameters.

    Raises StoreError otherwise.
    """
    parts = tokens(text.rstrip().removesuffix(";"))
    words = [token.upper() for kind, token in parts if kind == "word"]
    if not words:
        raise StoreError("the query", got="no text", expected="a Cypher query that starts with MATCH or RETURN")
    writing = next((word for word in words if word in _WRITING), None)
    if writing:
        raise StoreError(
            "the graph is read-only",
            got=f"{writing} in the query",
            expected="MATCH, OPTIONAL MATCH, UNWIND, WITH and RETURN",
            remedy="to name a property so, put it in backquotes",
        )
    if words[0] not in _FIRST:
        first = next(token for kind, token in parts if kind == "word")
        raise StoreError(
            "syntax error in the query", got=f"'{first}' as its first word",
            expected="MATCH, OPTIONAL MATCH, UNWIND, WITH or RETURN",
        )  # fmt: skip
    signs = [token for kind, token in parts if kind == "sign"]
    if ";" in signs:
        raise StoreError("the query", got="';'", expected="one statement", remedy="send the statements one by one")
    unclosed = next((sign for sign in signs if sign in "'\"`\\"), None)
    if unclosed:
        raise StoreError(
            "syntax error in the query",
            got=f"an unclosed {unclosed} or a backslash",
            remedy="pass such text as a parameter: {name: $name}",
        )
    _check_parameters(parameters(text), params)
    return "".join(token for _, token in parts).strip()


def _check_parameters(named: list[str], params: Mapping[str, Any]) -> None:
    missing = [name for name in named if name not in params]
    unknown = [name for name in params if name not in named]
    expected = ", ".join(f"${name}" for name in named) or "none"
    if missing:
        raise StoreError(f"parameter ${missing[0]} of the query", got="no value", expected=f"values for {expected}")
    if unknown:
        raise StoreError(
            f"unknown parameter ${unknown[0]}", expected=expected, remedy="leave it out or use it in the query"
        )
