"""Parquet files read column by column: every complaint of the library is one sentence with the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from csrms_dist.basics.arrow import as_text
from csrms_dist.errors import DataError


class Opened(Protocol):
    """A file that is opened otherwise than by its path, and its name as text."""

    def open(self) -> pa.NativeFile: ...


def open_parquet(path: Path | Opened, expected: str, columns: Sequence[str] = ()) -> pq.ParquetFile:
    """Open a file, mapped: a row group of any size costs pages of the file, not memory of its own.

    Raises DataError when it is none, `expected` in words, or lacks one of `columns`.
    """
    try:
        if isinstance(path, Path):
            file = pq.ParquetFile(path, memory_map=True, pre_buffer=False)
        else:
            file = pq.ParquetFile(path.open())
    except MemoryError:
        raise
    except Exception as error:  # Arrow's, of many classes, and the system's
        got = f"'{error.strerror}'" if isinstance(error, OSError) and error.strerror else "a file that is no Parquet"
        raise DataError(f"{path}", got=got, expected=expected) from error
    names = file.schema_arrow.names
    for column in columns:
        if column not in names:
            raise DataError(
                f"{path}", got=f"the columns {', '.join(names) or 'none'}", expected=f"a column '{column}'",
                remedy="rename it",
            )  # fmt: skip
    return file


def batches(
    path: object, file: pq.ParquetFile, size: int, columns: Sequence[str], **options: Any
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(first row, record batch) of some columns. Raises DataError for a page that cannot be read."""
    first = 0
    try:
        with closing(file.iter_batches(size, columns=list(columns), use_threads=False, **options)) as found:
            for batch in found:
                yield first, batch
                first += len(batch)
    except (MemoryError, DataError):
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        what = f"{path}: column{'s' * (len(columns) > 1)} {' and '.join(columns)}"
        got, expected = f"what cannot be read after {first:,} rows", "an undamaged Parquet file"
        raise DataError(what, got=got, expected=expected, remedy="write or copy it again") from error


def texts_of(path: object, column: str, array: pa.Array, first: int) -> pa.Array:
    """A column as large_string; `first` is the number of its first row. Raises DataError for what is no text."""
    try:
        return as_text(array)
    except pa.ArrowException as error:
        expected = "text or whole numbers"
        for row in range(len(array)):
            try:
                as_text(array.slice(row, 1))
            except pa.ArrowInvalid:
                got = f"bytes that are no UTF-8 in row {first + row:,}"
                raise DataError(f"{path}: column {column}", got=got, expected=expected) from error
            except pa.ArrowException:
                break
        raise DataError(f"{path}: column {column}", got=str(array.type), expected=expected) from error
