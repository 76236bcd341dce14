"""Answers as text, JSON, CSV and Parquet, table by table."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from itertools import chain
from pathlib import Path
from textwrap import indent
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from csrms_dist.artefacts.files import disk_errors
from csrms_dist.basics.words import counted
from csrms_dist.errors import ConfigError, RunDirectoryError

CELL_WIDTH = 60
EXACT = 2**53 - 1
"""The largest whole number that a parser whose numbers are float64 tells from its neighbours."""


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON text (RFC 8259) that every parser reads as it is meant.

    NaN and infinities, which JSON has not, are null; whole numbers beyond 2^53, which many parsers round, are text, and
    so is a date, a time or a duration.
    """
    return json.dumps(_in_json(value), ensure_ascii=False, indent=indent, default=str, allow_nan=False)


def _in_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _in_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_in_json(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return str(value) if isinstance(value, int) and abs(value) > EXACT else value


def flat(table: pa.Table) -> pa.Table:
    """The table with lists and maps as JSON text, for CSV, which knows none."""
    for place, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            texts = pa.array([as_json(value) for value in table[field.name].to_pylist()], pa.string())
            table = table.set_column(place, field.name, texts)
    return table


def as_text(table: pa.Table) -> str:
    """An Arrow table as aligned columns."""
    columns = [[name, *map(_cell, table[name].to_pylist())] for name in table.column_names]
    widths = [max(map(len, column)) for column in columns]
    rows = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*columns, strict=True)
    ]
    return "\n".join(rows)


def _cell(value: Any) -> str:
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    text = text.replace("\n", " ")
    return text if len(text) <= CELL_WIDTH else text[: CELL_WIDTH - 3] + "..."


def check_out(arguments: argparse.Namespace) -> None:
    """Refuse an unusable place for the answer before the work, not after it."""
    out = arguments.out
    if out is None:
        if arguments.format == "parquet" and sys.stdout.isatty():
            raise ConfigError(
                "--format parquet", got="a terminal", expected="a file or a pipe", remedy="add --out FILE.parquet"
            )
        return
    if Path(out).suffix[1:] not in WRITERS:
        *most, last = (f".{name}" for name in WRITERS)
        raise ConfigError("--out", got=f"'{out}'", expected=f"a name that ends in {', '.join(most)} or {last}")
    if arguments.format not in ("table", Path(out).suffix[1:]):
        raise ConfigError(
            f"--format {arguments.format}", got=f"--out '{out}' beside it", expected="one of them",
            remedy="the ending of --out decides",
        )  # fmt: skip
    if not Path(out).absolute().parent.is_dir():
        raise RunDirectoryError("--out", got=f"'{out}'", expected="a file in a folder that exists")


def write(tables: Iterable[pa.Table], arguments: argparse.Namespace) -> None:
    """Print Arrow tables of one schema as one, or write them to --out by its ending; at least one table.

    A table is printed, and a terminal is written to, when all is there; anything else is written as the tables come,
    and none is held. A file appears whole or not at all.
    """
    tables = (table.replace_schema_metadata(None) for table in tables)
    if arguments.out is not None:
        _write_file(tables, Path(arguments.out))
    elif arguments.format == "table":
        print(as_text(pa.concat_tables(tables)))
    else:
        if sys.stdout.isatty():  # not between the lines of the progress
            tables = iter([pa.concat_tables(tables)])
        _write_all(tables, WRITERS[arguments.format], sys.stdout.buffer)


def _write_file(tables: Iterator[pa.Table], path: Path) -> None:
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    refused = partial(disk_errors, str(path))
    try:
        with refused():
            file = staged.open("wb")
        with file:
            n_rows = _write_all(tables, WRITERS[path.suffix[1:]], file, refused)
        with refused():
            staged.replace(path)
    finally:
        with contextlib.suppress(OSError):
            staged.unlink(missing_ok=True)
    print(f"{path}: {counted(n_rows, 'row')}")


def _write_all(
    tables: Iterator[pa.Table],
    writer: type[Writer],
    file: BinaryIO,
    refused: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
) -> int:
    """Returns the number of rows. `refused` is around writing alone: what makes the tables has errors of its own."""
    first = next(tables)
    n_rows = 0
    with refused():
        out = writer(file, first.schema)
    try:
        for table in chain([first], tables):
            with refused():
                out.put(table)
            n_rows += len(table)
        with refused():
            out.close()
            file.flush()
    except BaseException:
        with contextlib.suppress(Exception):  # the disk may be full still; the first error is the one to tell
            out.close()
        raise
    return n_rows


class Writer:
    """Tables of one schema -> an open file, one after the other. This one writes rows of JSON, a line each."""

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._file = file

    def put(self, table: pa.Table) -> None:
        self._file.write("".join(as_json(row) + "\n" for row in table.to_pylist()).encode())

    def close(self) -> None:
        """Write what is left to be written; the file stays open."""


class JsonWriter(Writer):
    """One list of all rows."""

    _before = "[\n"

    def put(self, table: pa.Table) -> None:
        for row in table.to_pylist():
            self._file.write((self._before + indent(as_json(row, 1), " ")).encode())
            self._before = ",\n"

    def close(self) -> None:
        self._file.write(b"[]\n" if self._before == "[\n" else b"\n]\n")


class CsvWriter(Writer):
    """With a line of names; lists and maps as JSON text."""

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._writer = pyarrow.csv.CSVWriter(file, flat(schema.empty_table()).schema)

    def put(self, table: pa.Table) -> None:
        self._writer.write_table(flat(table))

    def close(self) -> None:
        self._writer.close()


class ParquetWriter(Writer):
    """A row group for each table."""

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._writer = pyarrow.parquet.ParquetWriter(file, schema)

    def put(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()


WRITERS: Mapping[str, type[Writer]] = {
    "parquet": ParquetWriter, "csv": CsvWriter, "json": JsonWriter, "jsonl": Writer,
}  # fmt: skip
"""By the word of --format and the ending of --out."""
