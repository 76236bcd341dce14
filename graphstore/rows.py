"""The rows of one type, made, written and read block by block: no table that grows with the instances is in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from graphstore.store import Repeated, Texts

BLOCK = 1 << 16
"""Rows of a block, and of a row group of the files."""


class Blocks(Protocol):
    """The rows of a type, block by block."""

    @property
    def n(self) -> int: ...

    def blocks(self) -> Iterator[pa.Table]: ...


class StoredRows:
    """The rows of Parquet files, a row group at a time."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self.n = count_rows(files)

    def blocks(self) -> Iterator[pa.Table]:
        for file in self.files:
            with pq.ParquetFile(file, pre_buffer=False) as source:
                for group in range(source.metadata.num_row_groups):
                    yield source.read_row_group(group)


@dataclass(frozen=True)
class Rows:
    """The rows of one type. make: (start, stop) -> the rows start..stop as an Arrow table."""

    n: int
    make: Callable[[int, int], pa.Table]

    @classmethod
    def of(cls, table: pa.Table) -> Rows:
        return cls(table.num_rows, lambda start, stop: table.slice(start, stop - start))

    def blocks(self) -> Iterator[pa.Table]:
        """All rows, BLOCK at a time; one empty block if there is none."""
        for start in range(0, max(self.n, 1), BLOCK):
            yield self.make(start, min(self.n, start + BLOCK))

    def table(self) -> pa.Table:
        """All rows at once."""
        return self.make(0, self.n)


Tables: TypeAlias = dict[str, Rows]


def write_rows(rows: Rows, path: Path) -> None:
    """Write rows to a Parquet file, a row group for each block."""
    blocks = rows.blocks()
    first = next(blocks)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for block in blocks:
            writer.write_table(block)


def count_rows(files: Sequence[Path]) -> int:
    """The rows of some Parquet files, from their footers."""
    return sum(pq.read_metadata(file).num_rows for file in files)


def text_blocks(values: Texts) -> Iterator[pa.Array]:
    """Texts as Arrow strings, BLOCK at a time."""
    for start in range(0, len(values), BLOCK):
        yield strings(values, start, start + BLOCK)


def strings(values: Texts, start: int, stop: int) -> pa.Array:
    """The texts start..stop as an Arrow string array."""
    part = values[start:stop]
    if isinstance(part, Repeated):
        return repeated(part.text, len(part))
    if isinstance(part, pa.ChunkedArray):
        part = part.combine_chunks()
    return part.cast(pa.string()) if isinstance(part, pa.Array) else pa.array(list(part), pa.string())


def repeated(value: str, length: int) -> pa.Array:
    """`length` times the same text as an Arrow string array."""
    return pa.array([value], pa.string()).take(pa.array(np.zeros(length, np.int64)))
