"""The driver's values as Arrow columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from csrms_dist.errors import StoreError, require
from graphstore.backend import whole_in_answer
from graphstore.neo4j.errors import one_line


def table(names: list[str], columns: list[list[Any]], kinds: pa.Schema | None) -> pa.Table:
    """Columns of plain values as Arrow: int64, float64, string, bool and lists of them.

    kinds: their types where they are known; else they follow from the values.
    """
    for column in columns:
        kind = _graph_kind(next((value for value in column if value is not None), None))
        if kind:
            raise whole_in_answer(kind)
    if kinds is not None:
        return pa.table(dict(zip(names, columns, strict=True)), schema=kinds)
    try:
        return pa.table({name: pa.array(_native(column)) for name, column in zip(names, columns, strict=True)})
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise StoreError(
            "the query", got=f"a column of several types: {one_line(error)}",
            expected="text, numbers, true or false, dates, or lists of one of them",
        ) from error  # fmt: skip


def _native(value: Any) -> Any:
    """A date or a time of the driver as Python's; a duration as ISO text, since Arrow has none of months."""
    if isinstance(value, list):
        return [_native(part) for part in value]
    if isinstance(value, dict):
        return {name: _native(part) for name, part in value.items()}
    if hasattr(value, "to_native"):
        return value.to_native()
    return value.iso_format() if hasattr(value, "iso_format") else value


def _graph_kind(value: Any) -> str:
    """'node', 'rel' or 'path' if a value is or holds one, else ''."""
    graph = require("neo4j").graph
    if isinstance(value, list | dict):
        parts = value.values() if isinstance(value, dict) else value
        return next((kind for kind in map(_graph_kind, parts) if kind), "")
    kinds = (("node", graph.Node), ("rel", graph.Relationship), ("path", graph.Path))
    return next((name for name, kind in kinds if isinstance(value, kind)), "")
