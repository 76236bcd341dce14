"""The named queries: one parameterised `.cypher` file each, which says what it needs and what it returns.

A file opens with the header lines `// purpose:`, `// splits:` (whose instances it answers for, one of SPLITS),
`// parameters:` ($name KIND = meaning; ...; STRING where no kind stands), `// columns:` (name KIND, ...) and
`// cost:`; a line that names none of them continues the one above. The text runs on every store, and every store
answers with exactly these columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa

from csrms_dist.basics.lookup import CLOSE, nearest
from csrms_dist.errors import ConfigError, StoreError
from graphstore.schema import KINDS

_FIELDS = ("purpose", "splits", "parameters", "columns", "cost")
SPLITS = ("train", "all", "none")
"""Counts and relations are of training; what is said of single instances is of all splits."""
# A property of kind FLOAT comes back as DOUBLE: answers know one kind of number with a fraction.
ANSWERS = {kind: KINDS[kind] for kind in ("STRING", "INT64", "DOUBLE", "BOOL")}


@dataclass(frozen=True)
class NamedQuery:
    """name: of the file. text: the Cypher. kinds: of each parameter, in order; schema: of the answer.

    splits: 'train' or 'all', the splits whose instances it answers for; 'none' for one that looks at no instance.
    purpose, meaning (of the parameters) and cost are for people.
    """

    name: str
    text: str
    kinds: Mapping[str, str]
    schema: pa.Schema
    splits: str
    purpose: str
    meaning: str
    cost: str

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(self.kinds)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.schema.names)


def parse(name: str, source: str) -> NamedQuery:
    """Read one query file. Raises StoreError when its header is not whole."""
    header: dict[str, str] = {}
    body = []
    current = ""
    for line in source.splitlines():
        if not line.startswith("//"):
            body.append(line)
            continue
        word, _, rest = line.removeprefix("//").strip().partition(":")
        if word in _FIELDS:
            current, header[word] = word, rest.strip()
        elif current:
            header[current] += " " + line.removeprefix("//").strip()
    missing = [word for word in _FIELDS if not header.get(word)]
    if missing:
        raise _refuse(name, "no // " + missing[0], "a header with it")
    if header["splits"] not in SPLITS:
        raise _refuse(name, f"splits: {header['splits']}", "one of " + ", ".join(SPLITS))
    return NamedQuery(
        name,
        "\n".join(body).strip(),
        _kinds(name, header["parameters"]),
        _schema(name, header["columns"]),
        header["splits"],
        header["purpose"],
        header["parameters"],
        header["cost"],
    )


def _refuse(name: str, got: str, expected: str) -> StoreError:
    return StoreError(f"the query file {name}.cypher", got=got, expected=expected)


def _kinds(name: str, text: str) -> dict[str, str]:
    """'$run = key of a run; $pattern INT64 = ...' -> {'run': 'STRING', 'pattern': 'INT64'}."""
    kinds: dict[str, str] = {}
    for part in text.split(";") if text != "none" else ():
        parameter, _, kind = part.partition("=")[0].strip().removeprefix("$").partition(" ")
        kinds[parameter] = kind or "STRING"
        if kinds[parameter] not in KINDS:
            raise _refuse(name, f"the parameter ${parameter} of kind {kind}", "one of " + ", ".join(KINDS))
    return kinds


def _schema(name: str, text: str) -> pa.Schema:
    """'key STRING, idx INT64' -> the Arrow schema of the answer."""
    fields = []
    for part in text.split(","):
        column, _, kind = part.strip().partition(" ")
        if kind not in ANSWERS:
            raise _refuse(name, f"the column {part.strip()}", "a name and one of " + ", ".join(ANSWERS))
        fields.append((column, ANSWERS[kind]))
    return pa.schema(fields)


@cache
def named_queries() -> dict[str, NamedQuery]:
    """The queries that come with the package, by name."""
    found = sorted(Path(__file__).parent.glob("*.cypher"))
    return {path.stem: parse(path.stem, path.read_text(encoding="utf-8")) for path in found}


def named_query(name: str) -> NamedQuery:
    """One of them. Raises ConfigError that lists the names."""
    queries = named_queries()
    if name not in queries:
        close = nearest(name, list(queries), CLOSE)
        raise ConfigError(
            "the named query", got=repr(name), expected="one of " + ", ".join(queries),
            remedy=close and f"the nearest is {close}",
        )  # fmt: skip
    return queries[name]
