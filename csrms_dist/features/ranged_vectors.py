"""Vectors of a file that may have holes: rows are fetched when they are asked for.

No ndarray, so that nothing reads a hole for a vector: what takes rows by number is served by range, and what wants an
array gets one of the whole file.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from csrms_dist.artefacts.ranged_file import RangedFile
from csrms_dist.basics.arrays import F32, I64

_HEADER = 1 << 12
"""Bytes at the start of a .npy file that hold its header."""


class RangedVectors:
    """The (N, D) vectors of a .npy file; `vectors[rows]` with row numbers (n,) or a slice gives a copy (n, D)."""

    def __init__(self, copy: RangedFile) -> None:
        self._copy = copy
        header = np.zeros(1, np.int64), np.array([min(_HEADER, copy.size)])
        with copy.reading(*header):
            self._mapped: F32 = np.load(copy.path, mmap_mode="r")
        self._row_bytes = int(self._mapped.strides[0])
        self._first = copy.size - self._mapped.nbytes

    def __len__(self) -> int:
        return len(self._mapped)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._mapped.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._mapped.dtype

    def __getitem__(self, rows: I64 | slice) -> F32:
        """Raises IndexError for rows that are not there."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        wanted = np.asarray(rows, np.int64)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"row {wanted.min()}..{wanted.max()} of {len(self)}")
        first = self._first + wanted.ravel() * self._row_bytes
        with self._copy.reading(first, first + self._row_bytes):
            found: F32 = np.array(self._mapped[wanted])
        return found
