"""Matrices on disk, read by ranges of rows: .npy files, memory-mapped, and Parquet files of a column `vector`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from csrms_dist.errors import DataError

I64 = npt.NDArray[np.int64]
READ = 8192  # rows of a Parquet file in memory at once
COLUMN = "vector"


class Rows(Protocol):
    """A matrix (N, D) that does not change. Assumes ascending row numbers, or a slice without a step."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, place: Any) -> npt.NDArray[Any]: ...


def open_rows(path: Path) -> Rows:
    """Open a matrix (N, D) of numbers: a .npy file, a Parquet file, or a folder of Parquet files in name order.

    Raises DataError for what is none of these, and for a matrix that is empty or not of numbers.
    """
    if path.suffix == ".npy" and path.is_file():
        try:
            rows: Rows = np.load(path, mmap_mode="r")
        except (ValueError, OSError) as error:
            raise DataError(f"{path}", got=f"'{error}'", expected="a .npy file of numbers") from error
    else:
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        if not files or not files[0].is_file():
            raise DataError(f"{path}", got="no file of rows", expected="a .npy file, or Parquet with a column 'vector'")
        rows = ParquetRows(files)
    if len(rows.shape) != 2 or 0 in rows.shape or rows.dtype.kind not in "iuf":
        raise DataError(
            f"{path}", got=f"{rows.dtype} of shape {rows.shape}",
            expected="a matrix of numbers with at least one row and one column",
        )  # fmt: skip
    return rows


class ParquetRows:
    """The column `vector` of some Parquet files, lists of equal length. READ rows are in memory at once.

    A range in the middle of a row group costs the decoding of the group's rows before it, so groups of up to a few
    hundred thousand rows serve best.
    """

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        self._groups = [
            (file, group, _open(file).metadata.row_group(group).num_rows)
            for file in files
            for group in range(_open(file).metadata.num_row_groups)
        ]
        self._ends = np.cumsum([0, *(rows for *_, rows in self._groups)])

    def __len__(self) -> int:
        return int(self._ends[-1])

    @cached_property
    def _first(self) -> npt.NDArray[Any]:
        return next(self._blocks(0, min(1, len(self))), np.zeros((0, 0), np.float32))

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self), self._first.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._first.dtype

    def __getitem__(self, place: Any) -> npt.NDArray[Any]:
        if isinstance(place, slice):
            start, stop, _ = place.indices(len(self))
            out = np.empty((max(stop - start, 0), self.shape[1]), self.dtype)
            done = 0
            for block in self._blocks(start, stop):
                out[done : done + len(block)] = block
                done += len(block)
            return out
        rows = np.asarray(place, np.int64)
        out = np.empty((len(rows), self.shape[1]), self.dtype)
        order = np.argsort(rows, kind="stable")
        done = 0
        while done < len(rows):
            # Rows that lie close together are read in one go.
            first = int(rows[order[done]])
            last = int(np.searchsorted(rows[order], first + READ, "left"))
            block = self[first : int(rows[order[last - 1]]) + 1]
            out[order[done:last]] = block[rows[order[done:last]] - first]
            done = last
        return out

    def _blocks(self, start: int, stop: int) -> Iterator[npt.NDArray[Any]]:
        for number in range(int(np.searchsorted(self._ends, start, "right")) - 1, len(self._groups)):
            if number < 0 or self._ends[number] >= stop:
                return
            file, group, _ = self._groups[number]
            first = int(self._ends[number])
            for batch in _open(file).iter_batches(READ, row_groups=[group], columns=[COLUMN], use_threads=False):
                low, high = max(start, first), min(stop, first + len(batch))
                if low < high:
                    yield _matrix(batch.column(0).slice(low - first, high - low), file)
                first += len(batch)
                if first >= stop:
                    return


def _open(file: Path) -> pq.ParquetFile:
    try:
        opened = pq.ParquetFile(file, memory_map=True, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}", got=f"'{error}'", expected="a Parquet file with a column 'vector'") from error
    if COLUMN not in opened.schema_arrow.names:
        names = ", ".join(opened.schema_arrow.names)
        raise DataError(f"{file}", got=f"the columns {names}", expected="a column 'vector'", remedy="rename it")
    return opened


def _matrix(array: Any, file: Path) -> npt.NDArray[Any]:
    """Lists of equal length -> (n, D)."""
    kind = array.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise DataError(f"{file}: column {COLUMN}", got=str(kind), expected="lists of numbers")
    lengths = np.unique(array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
    if len(lengths) != 1 or array.null_count:
        raise DataError(f"{file}: column {COLUMN}", got="rows of different lengths", expected="equally long rows")
    values = array.flatten().to_numpy(zero_copy_only=False)
    matrix: npt.NDArray[Any] = values.reshape(len(array), int(lengths[0]))
    return matrix
