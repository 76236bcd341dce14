"""A user's file of vectors, whatever its format, as record batches: Parquet, .npy beside a table of its rows, .npz."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from csrms_dist.basics.parquet import batches, open_parquet
from csrms_dist.errors import DataError

SUFFIXES = (".npy", ".npz")
"""Of arrays; any other file is Parquet."""


class Columns(Protocol):
    """A table of columns on disk. schema: their names and types."""

    path: Path
    n_rows: int
    schema: pa.Schema

    def batches(self, size: int, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """(first row, record batch) of some columns. Raises DataError for what cannot be read."""
        ...

    def close(self) -> None: ...


class ParquetColumns:
    """The columns of a Parquet file, mapped."""

    def __init__(self, path: Path, expected: str) -> None:
        self.path = path
        self._file = open_parquet(path, expected)
        self.n_rows, self.schema = int(self._file.metadata.num_rows), self._file.schema_arrow

    def batches(self, size: int, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        yield from batches(self.path, self._file, size, columns)

    def close(self) -> None:
        self._file.close()


class ArrayColumns:
    """Arrays of N rows each: a vector (N, D) becomes lists of equal length, as 0/1 labels (N, K) do."""

    def __init__(self, path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self.path, self._arrays = path, arrays
        lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
        if len(set(lengths.values())) > 1:
            got = " and ".join(f"{n:,} rows of {name}" for name, n in lengths.items())
            raise DataError(f"{path}", got=got, expected="arrays of as many rows each")
        self.n_rows = next(iter(lengths.values()), 0)
        self.schema = pa.schema([(name, self._block(name, 0, 0).type) for name in arrays])

    def _block(self, name: str, start: int, stop: int) -> pa.Array:
        array = self._arrays[name]
        if array.dtype.kind not in "biufUS" or array.ndim not in (1, 2) or (array.ndim == 2 and not array.shape[1]):
            raise DataError(
                f"{self.path}" + (f": {name}" if len(self._arrays) > 1 else ""),
                got=f"{array.dtype} of shape {array.shape}", expected="a matrix of numbers, or a number or text a row",
            )  # fmt: skip
        block = np.ascontiguousarray(array[start:stop])
        if not block.dtype.isnative:
            block = block.astype(block.dtype.newbyteorder("="))
        if array.ndim == 1:
            return pa.array(block.tolist(), pa.string()) if array.dtype.kind == "U" else pa.array(block)
        return pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), array.shape[1])

    def batches(self, size: int, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        for start in range(0, self.n_rows, size):
            blocks = [self._block(name, start, start + size) for name in columns]
            yield start, pa.record_batch(blocks, names=list(columns))

    def close(self) -> None:
        pass


class Joined:
    """A matrix and the table of its rows, side by side; one call reads columns of one of them."""

    def __init__(self, matrix: ArrayColumns, rows: Columns) -> None:
        self.path, self.n_rows = rows.path, matrix.n_rows
        self._matrix, self._rows = matrix, rows
        self.schema = pa.schema([*matrix.schema, *rows.schema], rows.schema.metadata)
        if rows.n_rows != matrix.n_rows:
            raise DataError(
                f"{rows.path}", got=f"{rows.n_rows:,} rows", expected=f"{matrix.n_rows:,} as in {matrix.path}",
                remedy="give both files the same rows in the same order",
            )  # fmt: skip

    def batches(self, size: int, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        of_matrix = set(columns) <= set(self._matrix.schema.names)
        yield from (self._matrix if of_matrix else self._rows).batches(size, columns)

    def close(self) -> None:
        self._rows.close()


def open_columns(path: Path, rows_path: Path | None, vector: str, expected: str) -> Columns:
    """Open a file of vectors. vector: the name of their column, which a .npy gets.

    rows_path: Parquet or .npz of the rows of a .npy. Raises DataError for files of other formats or other lengths.
    """
    if path.suffix.lower() != ".npy":
        return _table(path, expected)
    matrix = ArrayColumns(path, {vector: open_npy(path)})
    if rows_path is None:
        return matrix
    rows = _table(rows_path, "a Parquet or .npz file of ids, labels and splits")
    if vector in rows.schema.names:
        got = f"a column '{vector}', and a .npy of vectors"
        raise DataError(f"{rows_path}", got=got, expected="one of them", remedy="set features.vector_column")
    return Joined(matrix, rows)


def _table(path: Path, expected: str) -> Columns:
    if path.suffix.lower() != ".npz":
        return ParquetColumns(path, expected)
    try:
        with path.open("rb") as file, np.load(file) as arrays:  # NumPy leaves a file open that is none
            return ArrayColumns(path, {name: arrays[name] for name in arrays.files})
    except (MemoryError, DataError):
        raise
    except (ValueError, OSError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        got = "a file that is no whole .npz of numbers and texts"
        raise DataError(f"{path}", got=got, expected=expected, remedy="write it with numpy.savez") from error


def open_npy(path: Path) -> npt.NDArray[Any]:
    """A .npy file, mapped. Raises DataError when it is none."""
    try:
        array: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except MemoryError:
        raise
    except (ValueError, OSError, EOFError, AttributeError, SyntaxError) as error:
        got = f"'{error.strerror}'" if isinstance(error, OSError) and error.strerror else "a file that is no whole .npy"
        expected, remedy = "a matrix of numbers", "write it with numpy.save"
        raise DataError(f"{path}", got=got, expected=expected, remedy=remedy) from error
    return array
