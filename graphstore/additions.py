"""Addition -> the rows of each type, checked with each other and with the run before anything is written.

Every store asks the same Cypher, so each refuses the same rows in the same words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from csrms_dist.artefacts.fingerprints import canonical_json
from graphstore import added_images
from graphstore.checks import check_rows, loose_end, loose_ends, refused
from graphstore.read_back import Read
from graphstore.rows import BLOCK, Rows, Tables, content_of, repeated
from graphstore.schema import EdgeType, NodeType, Schema
from graphstore.store import Addition, RunInfo

OWN = ("Addition", "Addition.OF_RUN.Run")
"""The tables that are made here."""
READY = "ready"

_IN_RUN = """
UNWIND $keys AS key
MATCH (i:Instance {key: key})-[:IN_PATTERN]->(:Pattern {run: $run})
RETURN i.key AS key
"""


def addition_tables(addition: Addition, schema: Schema) -> Tables:
    """The rows of an addition by table, `Addition` among them, checked with each other. Raises DataError."""
    if not re.fullmatch("[a-z][a-z0-9_]*", addition.kind):
        raise refused("kind of the addition", repr(addition.kind), "a word of small letters, digits and _")
    if not re.fullmatch("[0-9a-f]{16,}", addition.fingerprint):
        raise refused("fingerprint of the addition", repr(addition.fingerprint), "at least 16 hexadecimal digits")
    try:
        params = canonical_json(dict(addition.params))
    except (TypeError, ValueError) as error:
        raise refused("params of the addition", str(error), "finite values that JSON can hold") from error
    taken = [kind for kind in schema.types if _is_taken(kind, schema)]
    unknown = next((name for name in addition.rows if name not in [kind.table for kind in taken]), None)
    if unknown is not None:
        expected = ", ".join(kind.table for kind in taken)
        raise refused("rows of the addition", repr(unknown), f"tables of additions or of images: {expected}")
    given = {kind.table: Rows.of(_filled(addition, kind)) for kind in taken if kind.table in addition.rows}
    row = {
        "key": addition.key,
        "run": addition.run,
        "kind": addition.kind,
        "fingerprint": addition.fingerprint,
        "status": READY,
        "created_ms": addition.created_ms,
        "params_json": params,
        "content": content_of(given.items()),
    }
    own = {"Addition": row, "Addition.OF_RUN.Run": {"from": addition.key, "to": addition.run}}
    types = {kind.table: kind for kind in schema.types}
    return {name: Rows.of(pa.Table.from_pylist([own[name]], types[name].arrow())) for name in OWN} | given


def check_against(tables: Tables, schema: Schema, run: RunInfo, read: Read) -> None:
    """Raise DataError unless each end of an edge is a node of the addition, of its run or of the run's data set."""
    for edge in schema.edges:
        if edge.table in tables and edge.table not in OWN:
            for end, label in edge.ends:
                keys = loose_ends(tables[edge.table].table()[end], tables.get(label))
                for part, found in _stored(keys, schema.node(label), run, read):
                    missing = part.filter(pc.invert(pc.is_in(part, found)))
                    if len(missing):
                        raise loose_end(edge, end, label, missing[0].as_py(), " of the run or of the addition")
    if any(name in tables for name in added_images.TABLES):
        added_images.check_against(tables, run, read)


def _is_taken(kind: NodeType | EdgeType, schema: Schema) -> bool:
    """Whether an addition may bring rows of this type."""
    return kind.table in added_images.TABLES or (schema.of_addition(kind) and kind.table not in OWN)


def _filled(addition: Addition, kind: NodeType | EdgeType) -> pa.Table:
    """The given rows of a type with its columns `addition` and `run`. Raises DataError."""
    table = addition.rows[kind.table]
    filled = {"addition": addition.key, "run": addition.run}
    check_rows(table, kind, pa.schema([field for field in kind.arrow() if field.name not in filled]))
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_floating(column.type) and not pc.all(pc.is_finite(column), min_count=0).as_py():
            raise refused(f"{kind.table}.{name}", "a value that is not finite", "finite numbers")
    columns = [
        repeated(filled[field.name], table.num_rows) if field.name in filled else table[field.name]
        for field in kind.arrow()
    ]
    return pa.table(columns, schema=kind.arrow())


def _stored(keys: pa.Array, node: NodeType, run: RunInfo, read: Read) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Keys block by block, each with those that the run or its data set has stored under this label."""
    text = f"UNWIND $keys AS key MATCH (n:{node.label} {{{node.key}: key}}) RETURN n.{node.key} AS key"
    params = {}
    if node.label == "Instance":  # of this run: with another one it may go
        text, params = _IN_RUN, {"run": run.key}
    elif node.run_column:
        text, params = text.replace(" RETURN", f" WHERE n.{node.run_column} = $run RETURN"), {"run": run.key}
    elif "dataset" in [column.name for column in node.columns]:
        text, params = text.replace(" RETURN", " WHERE n.dataset = $dataset RETURN"), {"dataset": run.dataset_key}
    for start in range(0, len(keys), BLOCK):
        part = keys.slice(start, BLOCK)
        yield part, read(text, params | {"keys": part.to_pylist()})["key"].combine_chunks().cast(pa.string())
