"""The named queries: one parameterised `.cypher` file each, which says what it needs and what it returns.

A file opens with the header lines `// purpose:`, `// parameters:` ($name = meaning; ...), `// columns:` and `// cost:`;
a line that names none of them continues the one above. The text runs on every store.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from csrms_dist.errors import StoreError

_FIELDS = ("purpose", "parameters", "columns", "cost")


@dataclass(frozen=True)
class NamedQuery:
    """name: of the file. text: the Cypher. parameters, columns: their names in order. doc: what the header says."""

    name: str
    text: str
    parameters: tuple[str, ...]
    columns: tuple[str, ...]
    doc: str


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
        raise StoreError(f"the query file {name}.cypher", got="no // " + missing[0], expected="a header with it")
    named = [part.partition("=")[0].strip().removeprefix("$") for part in header["parameters"].split(";")]
    return NamedQuery(
        name,
        "\n".join(body).strip(),
        tuple(part for part in named if part != "none"),
        tuple(part.strip() for part in header["columns"].split(",")),
        f"{header['purpose']} Parameters: {header['parameters']}. Cost: {header['cost']}",
    )


@cache
def named_queries() -> dict[str, NamedQuery]:
    """The queries that come with the package, by name."""
    found = sorted(Path(__file__).with_name("queries").glob("*.cypher"))
    return {path.stem: parse(path.stem, path.read_text(encoding="utf-8")) for path in found}


def named_query(name: str) -> NamedQuery:
    """One of them. Raises StoreError that lists the names."""
    queries = named_queries()
    if name not in queries:
        raise StoreError("the named query", got=repr(name), expected="one of " + ", ".join(queries))
    return queries[name]
