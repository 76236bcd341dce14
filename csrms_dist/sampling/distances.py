"""Ranking by Euclidean distance on L2-normalised features, exact and in blocks of bounded memory.

d(a, b)^2 = |a|^2 + |b|^2 - 2 a.b in float64, rounded to multiples of 2^-28. Two distances that differ by rounding
alone, as those to two copies of an image do, are then equal, and ties go to the lower row whatever the blocks were.

A rank key is one int64: the rounded distance in the high bits, the position in the low 31. Keys of one anchor are
unique, so that sorting and partitioning have one result.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from csrms_dist.basics.arrays import F64, I64, Bools, Floats
from csrms_dist.errors import DataError

GRID = 2.0**28
"""Squared distances are compared in units of 1 / GRID."""

BLOCK = 1 << 19
"""Keys in one block: 4 MiB of int64, and a few times that while distances become keys."""

_TILE = 1 << 21
"""Normalised features held at a time: 16 MiB of float64."""

_BITS = 31
_POSITION = np.int64((1 << _BITS) - 1)
_LARGEST = np.int64(1 << 30)
EXCLUDED = np.int64(np.iinfo(np.int64).max)
"""The key of what may not be chosen; it sorts behind every other."""

SECOND_CHOICE = np.int64(1 << 62)
"""Added to a key, it puts it behind all keys without it."""


def normalised(vectors: npt.ArrayLike) -> F64:
    """(R, D) -> (R, D) float64, rows of length 1; a zero row stays zero. Raises DataError if not finite."""
    values = np.asarray(vectors, dtype=np.float64)
    norms = np.sqrt(np.einsum("rd,rd->r", values, values))
    if not np.isfinite(norms).all():
        raise DataError(
            "features", got="a value that is not finite", expected="finite numbers", remedy="extract them anew"
        )
    unit: F64 = values / np.where(norms > 0, norms, 1.0)[:, None]
    return unit


def squared_distances(a: F64, b: F64) -> I64:
    """Normalised (R, D) and (S, D) -> (R, S) int64, the squared distance in units of 1 / GRID."""
    d2 = a @ b.T
    d2 *= -2.0
    d2 += np.einsum("rd,rd->r", a, a)[:, None]
    d2 += np.einsum("rd,rd->r", b, b)
    np.maximum(d2, 0.0, out=d2)
    d2 *= GRID
    return np.minimum(np.rint(d2, out=d2).astype(np.int64), _LARGEST)


class Target:
    """Some rows of a feature array, to be ranked by their distance to anchors.

    features: (N, D), any float dtype, may be memory-mapped. rows: (M,) int64, ascending.
    """

    def __init__(self, features: Floats, rows: I64) -> None:
        self.rows = rows
        self._features = features
        self._tile = max(1, _TILE // max(1, features.shape[1]))
        self._held = normalised(features[rows]) if len(rows) <= self._tile else None

    def nearest(self, anchors: F64) -> I64:
        """Keys (R, M) for normalised anchors (R, D): the smallest is the nearest row, ties the lower row."""
        if self._held is not None:
            distances = squared_distances(anchors, self._held)
        else:
            distances = np.empty((len(anchors), len(self.rows)), dtype=np.int64)
            for start in range(0, len(self.rows), self._tile):
                part = slice(start, start + self._tile)
                distances[:, part] = squared_distances(anchors, normalised(self._features[self.rows[part]]))
        return nearest_keys(distances)

    def farthest(self, anchors: F64) -> I64:
        """Keys (R, M) for normalised anchors (R, D): the smallest is the farthest row, ties the lower row."""
        keys = self.nearest(anchors)
        position = keys & _POSITION
        keys >>= _BITS
        np.subtract(_LARGEST, keys, out=keys)
        keys <<= _BITS
        keys |= position
        return keys

    def exclude(self, keys: I64, rows: I64) -> Bools:
        """Mark in keys (R, M), in place, the column that is rows[r] itself. Returns (R,): there was one."""
        if not len(self.rows):
            return np.zeros(len(rows), dtype=np.bool_)
        column = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        found: Bools = self.rows[column] == rows
        keys[np.flatnonzero(found), column[found]] = EXCLUDED
        return found


def nearest_keys(distances: I64) -> I64:
    """Squared distances (R, M) in units of 1 / GRID -> rank keys (R, M); the column is the position. In place."""
    distances <<= _BITS
    distances |= np.arange(distances.shape[1], dtype=np.int64)
    return distances


def smallest(keys: I64, k: int) -> I64:
    """The k smallest keys of each row of (R, M), ascending: (R, min(k, M)). May reorder `keys`."""
    if k < keys.shape[1]:
        keys.partition(k, axis=1)
        keys = keys[:, :k].copy()
    keys.sort(axis=1)
    return keys


def positions(keys: I64) -> I64:
    """The column that a key came from; meaningless where the key is EXCLUDED."""
    return keys & _POSITION


def blocks(n: int, width: int) -> Iterator[slice]:
    """Cut n rows of `width` keys into slices of at most BLOCK keys (and at least one row)."""
    step = max(1, BLOCK // max(1, width))
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))
