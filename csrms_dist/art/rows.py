"""Matrices on disk, read by ranges of rows: .npy files, memory-mapped, and Parquet files of a column `vector`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from csrms_dist.basics.arrays import Matrix
from csrms_dist.basics.arrow import is_list, plain, stored_type
from csrms_dist.basics.parquet import batches, open_parquet
from csrms_dist.errors import DataError
from csrms_dist.features.vector_column import VECTOR, first_misfit, holds_numbers
from csrms_dist.features.vector_files import open_npy

READ = 8192  # rows of a Parquet file in memory at once
_READABLE = "a .npy file, a Parquet file with a column 'vector', or a folder of such .parquet files"


class Rows(Protocol):
    """A matrix (N, D) that does not change. Assumes ascending row numbers, or a slice without a step."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, place: Any) -> Matrix: ...


def open_rows(path: Path) -> Rows:
    """Open a matrix (N, D) of numbers: a .npy file, a Parquet file, or a folder of Parquet files in name order.

    Raises DataError for what is none of these, and for a matrix that is empty or not of numbers. The files of a folder
    must hold numbers of one type, which is checked before any of them is read.
    """
    if path.suffix == ".npy" and path.is_file():
        rows: Rows = open_npy(path)
    else:
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        if not files or not files[0].is_file():
            got = "a folder without .parquet files" if path.is_dir() else "no file of rows"
            raise DataError(f"{path}", got=got, expected=_READABLE)
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
        self._groups: list[tuple[Path, int, int]] = []  # file, group, the group's first row within its file
        self._typed: tuple[Path, Any] | None = None  # the first file with rows, and the type of its numbers
        ends = [0]
        for file in files:
            opened, first = open_parquet(file, _READABLE, (VECTOR,)), 0
            if opened.metadata.num_rows:
                self._check_type(file, stored_type(opened.schema_arrow.field(VECTOR).type))
            for group in range(opened.metadata.num_row_groups):
                self._groups.append((file, group, first))
                first += opened.metadata.row_group(group).num_rows
                ends.append(ends[-1] + opened.metadata.row_group(group).num_rows)
        self._ends = np.array(ends)

    def _check_type(self, file: Path, kind: Any) -> None:
        """All files hold lists of numbers of one type: another would be cut to fit the first's."""
        if not holds_numbers(kind):
            got = f"lists of {kind.value_type}" if is_list(kind) else str(kind)
            raise DataError(f"{file}: column {VECTOR}", got=got, expected="lists of numbers")
        if self._typed is None:
            self._typed = file, kind.value_type
        elif kind.value_type != self._typed[1]:
            raise DataError(
                f"{file}: column {VECTOR}", got=f"lists of {kind.value_type}",
                expected=f"lists of {self._typed[1]}, as in {self._typed[0].name}",
                remedy="write all files of the folder with one type of numbers",
            )  # fmt: skip

    def __len__(self) -> int:
        return int(self._ends[-1])

    @cached_property
    def _first(self) -> Matrix:
        return next(self._read(0, min(1, len(self)), None), np.zeros((0, 0), np.float32))

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self), self._first.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._first.dtype

    def __getitem__(self, place: Any) -> Matrix:
        if isinstance(place, slice):
            start, stop, _ = place.indices(len(self))
            out = np.empty((max(stop - start, 0), self.shape[1]), self.dtype)
            done = 0
            for block in self._read(start, stop, self.shape[1]):
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

    def _read(self, start: int, stop: int, width: int | None) -> Iterator[Matrix]:
        """The rows in blocks; width: that of all rows, None for the first row's."""
        for number in range(int(np.searchsorted(self._ends, start, "right")) - 1, len(self._groups)):
            if number < 0 or self._ends[number] >= stop:
                return
            file, group, within = self._groups[number]
            first = int(self._ends[number])
            before = first - within  # rows in the files before this one
            opened = open_parquet(file, _READABLE, (VECTOR,))
            for _, batch in batches(file, opened, READ, [VECTOR], row_groups=[group]):
                low, high = max(start, first), min(stop, first + len(batch))
                if low < high:
                    yield self._matrix(plain(batch.column(0)).slice(low - first, high - low), file, low - before, width)
                first += len(batch)
                if first >= stop:
                    return

    def _matrix(self, array: Any, file: Path, first: int, width: int | None) -> Matrix:
        """Lists of equal length, the first of them row `first` of its file -> (n, D)."""
        wanted = int(array.value_lengths()[0].as_py() or 0) if width is None else width
        if misfit := first_misfit(array, wanted):
            row, length = misfit
            if length is None:
                raise _bad_row(file, first + row, "nothing", "a list of numbers")
            expected = f"{wanted}, as in the first row of {self._typed[0].name if self._typed else file.name}"
            raise _bad_row(file, first + row, f"{length} numbers", expected)
        numbers = array.flatten()
        if numbers.null_count:
            place = int(np.flatnonzero(numbers.is_null().to_numpy(zero_copy_only=False))[0])
            raise _bad_row(file, first + place // wanted, f"no number in place {place % wanted}", "numbers alone")
        matrix: Matrix = numbers.to_numpy(zero_copy_only=False).reshape(len(array), wanted)
        return matrix


def _bad_row(file: Path, row: int, got: str, expected: str) -> DataError:
    return DataError(f"{file}: row {row} of column {VECTOR}", got=got, expected=expected, remedy="repair the file")
