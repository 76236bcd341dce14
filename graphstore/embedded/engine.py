"""The engine `ladybug`; the only file that imports it: its memory, its answers as plain columns, its errors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from csrms_dist.errors import StoreError, require
from graphstore.backend import columns_of_one_name, plain_parameter, whole_in_answer

BYTES_A_ROW = 42  # of a generation file
OUT_OF_MEMORY = "Buffer manager"
REBUILD = "delete the folder store/ and run `csrms graph CONFIG` again"
ENGINE_ERRORS = (RuntimeError, ValueError, TypeError, ArithmeticError, IndexError)
"""The errors of the engine; which it is, only the text says."""
# Column types that hold more than values.
_WHOLE = (("RECURSIVE_REL", "path"), ("NODE", "node"), ("REL", "rel"), ("INTERNAL_ID", "id of the engine"))

_MEANINGS = (
    ("Parser exception", "syntax error in the query", "correct it; the graph's schema is in the documentation"),
    ("Interrupted", "the query ran too long", "narrow it or add a LIMIT"),
    ("Could not set lock", "the graph file is locked", "close the program that has it open for writing"),
    ("read-only", "the graph is read-only", "a run is changed by publishing another one"),
    ("Binder exception", "the query names something that is not there", "see the graph's schema"),
    ("Catalog exception", "the query names something that is not there", "see the graph's schema"),
    (OUT_OF_MEMORY, "the query needs more memory than the store may use", "narrow it or add a LIMIT"),
    ("not a valid", "the generation file is damaged", REBUILD),
    ("orrupt", "the generation file is damaged", REBUILD),
    ("hecksum", "the generation file is damaged", REBUILD),
)


def engine() -> Any:
    """The module of the engine. Raises an error that names the extra to install when it is not there."""
    return require("ladybug")


def open_database(path: Path, pool: int, *, read_only: bool) -> Any:
    """The database in a file. pool: bytes, as buffer_pool gives them; the engine's default is most of the machine."""
    return engine().Database(str(path), read_only=read_only, buffer_pool_size=pool)


def buffer_pool(file_bytes: int) -> int:
    """Bytes that the engine may use for pages and intermediate rows of a file of this size.

    128 MB are too little for anything, and the engine's default is most of the machine. Ten million instances (1.8 GB)
    cannot be built with 1.3 GB and can with 1.5; questions that look at all of them want twice that. They take what
    they need of it, at most half of the machine.
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(256 << 20, min((256 << 20) + 3 * file_bytes // 2, physical // 2))


def meaning(error: BaseException) -> StoreError:
    """The engine's error, which is always a RuntimeError with some text, as one sentence."""
    text = str(error)
    line = " ".join(text.split("\n")[0].split())
    for needle, what, remedy in _MEANINGS:
        if needle in text:
            return StoreError(what, got=f"'{line}'", remedy=remedy)
    return StoreError("the query cannot be answered", got=f"'{line}'", remedy="change the query or its parameters")


def answer(database: Any, text: str, params: Mapping[str, Any], timeout_s: float) -> pa.Table:
    """The answer to a query, in plain columns. timeout_s: 0 for none; the clock is looked at between batches of rows.

    Raises StoreError for an answer that is not of plain columns, else one of ENGINE_ERRORS.
    """
    connection = engine().Connection(database)
    try:
        if timeout_s:
            connection.set_query_timeout(max(1, int(timeout_s * 1000)))
        result = connection.execute(text, {name: plain_parameter(value) for name, value in params.items()})
        types = " ".join(result.get_column_data_types())
        whole = next((name for word, name in _WHOLE if word in types), "")
        if whole:
            raise whole_in_answer(whole)
        return _plain(result.get_as_arrow())
    finally:
        connection.close()


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_decimal(kind) and kind.scale == 0:
        return pa.int64()
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64()
    if pa.types.is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    return kind


def _plain(table: pa.Table) -> pa.Table:
    """The engine's answer with int64 for every whole number (sums are decimals there) and float64 for every other."""
    if len(set(table.column_names)) != table.num_columns:
        raise columns_of_one_name()
    return table.cast(pa.schema([(field.name, _plain_type(field.type)) for field in table.schema]))
