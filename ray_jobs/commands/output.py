"""Answers as text, JSON, CSV and Parquet."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    if Path(out).suffix not in (".parquet", ".csv", ".json"):
        raise ConfigError("--out", got=f"'{out}'", expected="a name that ends in .parquet, .csv or .json")
    if arguments.format not in ("table", Path(out).suffix[1:]):
        raise ConfigError(
            f"--format {arguments.format}", got=f"--out '{out}' beside it", expected="one of them",
            remedy="the ending of --out decides",
        )  # fmt: skip
    if not Path(out).absolute().parent.is_dir():
        raise RunDirectoryError("--out", got=f"'{out}'", expected="a file in a folder that exists")


def write(table: pa.Table, arguments: argparse.Namespace) -> None:
    """Print an Arrow table, or write it to --out by its ending."""
    table = table.replace_schema_metadata(None)
    if arguments.out is None:
        if arguments.format == "table":
            print(as_text(table))
        elif arguments.format == "json":
            print(as_json(table.to_pylist(), 1))
        elif arguments.format == "csv":
            pyarrow.csv.write_csv(flat(table), sys.stdout.buffer)
        else:
            pyarrow.parquet.write_table(table, sys.stdout.buffer)
        return
    path = Path(arguments.out)
    writers = {
        ".parquet": lambda staged: pyarrow.parquet.write_table(table, staged),
        ".csv": lambda staged: pyarrow.csv.write_csv(flat(table), staged),
        ".json": lambda staged: staged.write_text(as_json(table.to_pylist(), 1) + "\n"),
    }
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    with disk_errors(str(path)):
        try:
            writers[path.suffix](staged)
            staged.replace(path)
        finally:
            with contextlib.suppress(OSError):
                staged.unlink(missing_ok=True)
    print(f"{path}: {counted(table.num_rows, 'row')}")
