"""The patterns around a row, or around a pattern: those whose middles lie in the most similar directions.

A middle is the frozen prototype (spherical), or the middle of the box (fuzzy). Directions are taken from the mean of
all rows: prepared spherical rows are centred already, those of boxes are here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from csrms_dist.art.clustering import Clustering
from csrms_dist.art.scaling import blas
from csrms_dist.art.two_level.placement import transformed
from csrms_dist.basics.arrays import F32, F64, I64, Matrix

_CELLS = 1 << 22  # cosines of one step


class Surroundings:
    """The middles of a clustering's J patterns, and what lies near to them."""

    def __init__(self, clustering: Clustering) -> None:
        self._scaling = clustering.scaling
        middles: F32 = clustering.prototypes.astype(np.float32)
        self._centre = np.zeros(middles.shape[1], np.float32)
        if clustering.prototypes.dtype == np.uint8:  # boxes: lower corner, 255 - upper corner
            low, high = np.split(middles, 2, axis=1)
            middles = ((low + 255 - high) / 2).astype(np.float32)
            self._centre = np.average(middles, axis=0, weights=clustering.sizes()).astype(np.float32)
        self._middles: F32 = middles - self._centre
        self._lengths = _lengths(self._middles)
        self._block = max(1, min(8192, _CELLS // max(1, len(middles))))

    def of_patterns(self, count: int) -> I64:
        """(J, min(count, J)) int64: the patterns nearest to each pattern, itself first, ties to the lower index."""
        parts = []
        for start in range(0, len(self._middles), self._block):
            cosine = self._cosines(self._middles[start : start + self._block])
            cosine[np.arange(len(cosine)), start + np.arange(len(cosine))] = np.inf
            parts.append(_largest(cosine, count)[0])
        return np.concatenate(parts)

    def of_rows(self, vectors: Any, count: int) -> Iterator[tuple[I64, F64]]:
        """For vectors (M, D), in blocks (B, min(count, J)): the patterns nearest to each row, and the cosines to them.

        Raises DataError for a vector that is not finite.
        """
        for prepared in transformed(vectors, self._scaling, "vector {}"):
            for start in range(0, len(prepared), self._block):
                rows = prepared[start : start + self._block].astype(np.float32) - self._centre
                yield _largest(self._cosines(rows), count)

    def _cosines(self, rows: F32) -> F64:
        # Products of int8 rows are whole numbers that float32 holds: the same on every machine, whatever the block.
        with blas().limit(limits=1, user_api="blas"):
            products = rows @ self._middles.T
        cosines: F64 = products / _lengths(rows)[:, None] / self._lengths
        return cosines


def _lengths(rows: Matrix) -> F64:
    lengths = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1))
    return np.where(lengths > 0, lengths, 1.0)


def _largest(values: F64, count: int) -> tuple[I64, F64]:
    """The columns of the `count` largest of each row, largest first, ties to the lower column; and the values."""
    count = min(count, values.shape[1])
    least = -np.partition(-values, count - 1, axis=1)[:, count - 1 : count]
    # Of those that equal the last one only the first may stay: a stable sort of what could be among them.
    possible = np.where(values >= least, values, -np.inf)
    width = int((values >= least).sum(axis=1).max())
    columns = np.argsort(-possible, axis=1, kind="stable")[:, :count] if width > count else _sorted(possible, count)
    return columns.astype(np.int64), np.take_along_axis(values, columns, axis=1)


def _sorted(possible: F64, count: int) -> I64:
    columns = np.sort(np.argpartition(-possible, count - 1, axis=1)[:, :count], axis=1)
    order = np.argsort(-np.take_along_axis(possible, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1).astype(np.int64)
