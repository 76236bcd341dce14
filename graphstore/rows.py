"""The rows of one type, made, written and read block by block: no table that grows with the instances is in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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


class WithColumns:
    """Rows with all columns of a schema: null where they lack one."""

    def __init__(self, rows: Blocks, schema: pa.Schema) -> None:
        self.rows, self.schema, self.n = rows, schema, rows.n

    def blocks(self) -> Iterator[pa.Table]:
        for block in self.rows.blocks():
            columns = [
                block[field.name] if field.name in block.column_names else pa.nulls(block.num_rows, field.type)
                for field in self.schema
            ]
            yield pa.table(columns, schema=self.schema)


def write_rows(rows: Blocks, path: Path) -> None:
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


def content_of(tables: Iterable[tuple[str, Rows]]) -> str:
    """A digest of rows without nulls, whatever their blocks are."""
    digest = sha256()
    for name, rows in tables:
        digest.update(f"{name} {rows.n} ".encode())
        columns = [(sha256(), sha256()) for _ in rows.make(0, 0).column_names]
        for block in rows.blocks():
            for column, part in zip(columns, block.columns, strict=True):
                for chunk in part.chunks:
                    for half, data in zip(column, _bytes(chunk), strict=True):
                        half.update(data)
        for lengths, values in columns:
            digest.update(lengths.digest() + values.digest())
    return digest.hexdigest()[:32]


def _bytes(values: pa.Array) -> tuple[Any, Any]:
    """The lengths of texts, and all their bytes; for numbers nothing and the bytes."""
    if not len(values):
        return b"", b""
    if not pa.types.is_string(values.type):
        return b"", np.ascontiguousarray(values.to_numpy(zero_copy_only=False)).view(np.uint8).data
    _, offsets, data = values.buffers()
    first, last = np.frombuffer(offsets, np.int32)[[values.offset, values.offset + len(values)]].tolist()
    return pc.binary_length(values).to_numpy().data, memoryview(data)[first:last] if data else b""
