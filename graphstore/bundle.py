"""A graph as the input of `neo4j-admin database import full`, for graphs too large to be sent over Bolt.

A folder of CSV files, each with a header of its own whose columns are named as the importer wants them (as in
`key:ID(Instance)`, `score:double`, `:START_ID(Instance)`), and `bundle.json`, written last, which lists them. All texts
are quoted, so those with quotes, line feeds or control characters, and empty ones, arrive as they are; from Parquet the
importer would take an empty text for a missing property.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc

from csrms_dist.artefacts.files import disk_errors, write_whole
from csrms_dist.basics.progress import Progress
from csrms_dist.errors import RunDirectoryError
from graphstore.rows import Blocks
from graphstore.schema import Column, EdgeType, NodeType, Schema

FORMAT = 1
INDEX = "bundle.json"
_TYPES = {
    "STRING": (pa.string(), "string"),
    "INT64": (pa.int64(), "long"),
    "DOUBLE": (pa.float64(), "double"),
    "FLOAT": (pa.float64(), "double"),  # as the driver sends it
    "BOOL": (pa.bool_(), "boolean"),
}


def columns_of(kind: NodeType | EdgeType) -> pa.Schema:
    """The columns of a type's files, in the order of its table."""
    if isinstance(kind, NodeType):
        key, *others = kind.columns
        first = [(f"{key.name}:ID({kind.label})", pa.string())]
    else:
        first = [(f":START_ID({kind.source})", pa.string()), (f":END_ID({kind.target})", pa.string())]
        others = list(kind.columns)
    return pa.schema(first + [_named(column) for column in others])


def _named(column: Column) -> tuple[str, pa.DataType]:
    arrow, name = _TYPES[column.kind]
    return f"{column.name}:{name}", arrow


def empty_folder(folder: str | Path) -> Path:
    """Make the folder of a bundle. Raises RunDirectoryError when it holds something or cannot be written."""
    target = Path(folder)
    with disk_errors(str(target)):
        target.mkdir(parents=True, exist_ok=True)
        if any(target.iterdir()):
            raise RunDirectoryError(f"{target}", got="files in it", expected="a new or empty folder for the bundle")
    return target


def write_bundle(
    tables: Mapping[str, Blocks], schema: Schema, folder: str | Path, progress: Progress | None = None
) -> int:
    """Write the rows of all tables to a new or empty folder; how many there are. A type without rows has no files.

    Raises RunDirectoryError when the folder holds something, cannot be written or the disk is full.
    """
    target = empty_folder(folder)
    with disk_errors(str(target)):
        kinds = [kind for kind in schema.types if kind.table in tables and tables[kind.table].n]
        n_rows = sum(tables[kind.table].n for kind in kinds)
        if progress:
            progress.total = n_rows
        groups: dict[str, list[dict[str, Any]]] = {"nodes": [], "relationships": []}
        for kind in kinds:
            header, name = f"{kind.table}.header.csv", f"{kind.table}.csv"
            columns = columns_of(kind)
            (target / header).write_text(",".join(columns.names) + "\n")
            _write(tables[kind.table], columns, target / name, progress)
            if isinstance(kind, NodeType):
                groups["nodes"].append({"label": kind.label, "header": header, "files": [name]})
            else:
                groups["relationships"].append({"type": kind.name, "header": header, "files": [name]})
        options = ["--multiline-fields=true"]
        index = {"format": FORMAT, **groups, "options": options, "indexes": schema.constraints()}
        write_whole(target / INDEX, (json.dumps(index, indent=1) + "\n").encode())
    return n_rows


def _write(rows: Blocks, schema: pa.Schema, path: Path, progress: Progress | None) -> None:
    with pc.CSVWriter(path, schema, write_options=pc.WriteOptions(include_header=False)) as writer:
        for table in rows.blocks():
            cast = pa.table([c.cast(f.type) for c, f in zip(table.columns, schema, strict=True)], schema=schema)
            writer.write_table(cast)
            if progress:
                progress.update(table.num_rows)
