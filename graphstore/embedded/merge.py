"""Runs of one data set side by side, with their additions: the Parquet files of all rows, each shared row once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from graphstore.checks import check_unique, contradiction
from graphstore.rows import Rows, StoredRows, count_rows, write_rows
from graphstore.schema import EdgeType, NodeType, Schema

_LATEST = {"Dataset": ("n_instances", "live_run", "schema_version"), "Instance": ("uri",)}
"""Columns that may differ between runs of one dataset; the newest counts."""


Files: TypeAlias = Mapping[str, Path]
"""The Parquet file of each table."""


def merged(
    runs: Sequence[Files], additions: Sequence[Files], schema: Schema, live_run: str, folder: Path
) -> dict[str, list[Path]]:
    """The Parquet files that make up one data set with several runs, by table: each shared row stands in them once.

    runs: the newest first, each consistent in itself, with all tables but those of additions. additions: to any of the
    runs, with the tables that they have. Files serve as they are where all runs say the same (the newest's) or none
    shares a row with another (all of them); else one is made in `folder`. Raises DataError when two runs, or additions
    to different runs, say different things of the same node or edge.
    """
    chosen: dict[str, list[Path]] = {}
    apart: set[str] = set()  # labels of whose nodes no two runs share one
    for kind in schema.types:
        if schema.of_addition(kind):
            chosen[kind.table] = []
            continue
        files = [run[kind.table] for run in runs]
        latest = _LATEST.get(kind.table, ())
        if kind.table == "Dataset":
            chosen[kind.table] = files  # made below, when the number of instances is known
        elif all(_same_rows(files[0], other, latest) for other in files[1:]):
            chosen[kind.table] = files[:1]
        elif isinstance(kind, EdgeType) and apart & {kind.source, kind.target}:
            chosen[kind.table] = files
        elif isinstance(kind, NodeType) and _disjoint(files, kind.key):
            chosen[kind.table] = files
            apart.add(kind.label)
        else:
            table = _distinct([pq.read_table(file, partitioning=None) for file in files], latest)
            check_unique(table, kind)
            if isinstance(kind, EdgeType) and not schema.of_run(kind):
                _refuse_other_edges(table, kind, schema, runs)
            chosen[kind.table] = [folder / f"{kind.table}.parquet"]
            write_rows(Rows.of(table), chosen[kind.table][0])
    for kind in schema.types:
        chosen[kind.table] += _added(
            kind, [one[kind.table] for one in additions if kind.table in one], schema, chosen, folder
        )
    dataset = _distinct([pq.read_table(file, partitioning=None) for file in chosen["Dataset"]], _LATEST["Dataset"])
    check_unique(dataset, schema.nodes[0])
    dataset = _replaced(_replaced(dataset, "live_run", live_run), "n_instances", count_rows(chosen["Instance"]))
    chosen["Dataset"] = [folder / "Dataset.parquet"]
    write_rows(Rows.of(dataset), chosen["Dataset"][0])
    return chosen


def _added(
    kind: NodeType | EdgeType, files: list[Path], schema: Schema, chosen: Mapping[str, list[Path]], folder: Path
) -> list[Path]:
    """The files of all additions' rows of a type: those that several runs share, as added images are, once."""
    if schema.of_run(kind) or not files:
        return files
    table = _distinct([pq.read_table(file, partitioning=None) for file in files], _LATEST.get(kind.table, ()))
    check_unique(table, kind)
    if isinstance(kind, NodeType):
        for file in chosen[kind.table]:
            for block in StoredRows([file]).blocks():
                both = block[kind.key].filter(pc.is_in(block[kind.key], table[kind.key].combine_chunks()))
                if len(both):
                    raise contradiction(
                        f"{kind.table}.{kind.key}", f"{both[0].as_py()!r}, which was added to another run"
                    )
    made = folder / f"added.{kind.table}.parquet"
    write_rows(Rows.of(table), made)
    return [made]


def _refuse_other_edges(table: pa.Table, kind: EdgeType, schema: Schema, runs: Sequence[Files]) -> None:
    """Raise DataError when a node has edges of a shared type in one run that it has not in another that holds it."""
    key = schema.node(kind.source).key
    for run in runs:
        nodes = pq.read_table(run[kind.source], columns=[key], partitioning=None)[key].combine_chunks()
        found = pc.sum(pc.is_in(table["from"], nodes)).as_py() or 0
        own = pq.read_metadata(run[kind.table]).num_rows
        if found != own:
            raise contradiction(kind.table, f"{found - own} rows more than this run has")


def _same_rows(one: Path, other: Path, but: Sequence[str]) -> bool:
    """Whether two files hold the same rows in the same order and row groups, apart from the columns `but`."""
    with pq.ParquetFile(one, pre_buffer=False) as a, pq.ParquetFile(other, pre_buffer=False) as b:
        groups = range(a.metadata.num_row_groups)
        if [a.metadata.row_group(g).num_rows for g in groups] != [
            b.metadata.row_group(g).num_rows for g in range(b.metadata.num_row_groups)
        ]:
            return False
        columns = [name for name in a.schema_arrow.names if name not in but]
        return all(a.read_row_group(g, columns=columns).equals(b.read_row_group(g, columns=columns)) for g in groups)


def _disjoint(files: Sequence[Path], key: str) -> bool:
    keys = [pq.read_table(file, columns=[key], partitioning=None)[key].combine_chunks() for file in files]
    return not any(pc.any(pc.is_in(a, b)).as_py() for a, b in combinations(keys, 2))


def _replaced(table: pa.Table, name: str, value: str | int) -> pa.Table:
    field = table.schema.field(name)
    column = pa.array([value] * table.num_rows, field.type)
    return table.set_column(table.schema.get_field_index(name), field, column)


def _distinct(tables: Sequence[pa.Table], latest: Sequence[str]) -> pa.Table:
    if len(tables) == 1:
        return tables[0]
    names = tables[0].column_names
    table = pa.concat_tables(tables)
    groups = table.group_by([name for name in names if name not in latest], use_threads=False)
    first = groups.aggregate([(name, "first") for name in latest])
    columns = [first[f"{name}_first" if name in latest else name] for name in names]
    return pa.table(columns, names=names).cast(tables[0].schema)
