"""Ranking by distance, exact and in blocks of bounded memory.

d(a, b)^2 = |a|^2 + |b|^2 - 2 a.b in float64, then as a whole number below 2^31 in which two distances that differ by
rounding alone, as those to two copies of an image do, are equal. Ties go to the lower row whatever the blocks were.

A rank key is one int64: that number in the high bits, the position in the low 31. Keys of one anchor are unique, so
that sorting and partitioning have one result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from csrms_dist.basics.arrays import F64, I64, Bools, Floats
from csrms_dist.basics.compiling import compiled
from csrms_dist.errors import DataError

GRID = 2.0**28
"""Squared distances between vectors of length 1 are compared in units of 1 / GRID."""

BLOCK = 1 << 19
"""Keys in one block: 4 MiB of int64, and a few times that while distances become keys."""

_TILE = 1 << 21
"""Prepared features held at a time: 16 MiB of float64."""

_BITS = 31
_POSITION = np.int64((1 << _BITS) - 1)
_LARGEST = 2.0**30
_FARTHEST = np.int64((1 << _BITS) - 1)
_ROUNDING = 2.0**-36
"""Squared distances, as shares of the anchor's squared length, that may be rounding of float64 and no more."""

EXCLUDED = np.int64(np.iinfo(np.int64).max)
"""The key of what may not be chosen; it sorts behind every other."""

SECOND_CHOICE = np.int64(1 << 62)
"""Added to a key, it puts it behind all keys without it."""


@dataclass(frozen=True)
class Distance:
    """What ranks: how vectors are prepared, and how the squared distances of prepared ones are compared.

    prepared: (R, D) -> (R, D) float64. Raises DataError if not finite.
    middle: means (J, D) of prepared vectors -> as vectors are prepared.
    compared: -2 a.b (R, S) float64, |a|^2 (R,) of anchors and |b|^2 (S,) -> (R, S) int64 in [0, 2^31), larger where
    farther. May overwrite its first argument.
    """

    prepared: Callable[[npt.ArrayLike], F64]
    middle: Callable[[F64], F64]
    compared: Callable[[F64, F64, F64], I64]


def cosine(features: Floats) -> Distance:
    """Euclidean distance of L2-normalised vectors, which ranks as the cosine does."""
    return COSINE


def euclidean(features: Floats) -> Distance:
    """Euclidean distance of the vectors as they are.

    They are divided by a power of two above the longest of `features` (N, D), which is exact, so that a scale changes
    nothing.
    """
    longest = 0.0
    for part in blocks(len(features), features.shape[1]):
        longest = max(longest, float(_lengths(np.asarray(features[part], dtype=np.float64)).max(initial=0.0)))
    scale = float(np.ldexp(1.0, -int(np.frexp(longest)[1])))

    def prepared(vectors: npt.ArrayLike) -> F64:
        values = np.asarray(vectors, dtype=np.float64)
        _lengths(values)
        return np.asarray(values * scale)

    return Distance(prepared, lambda means: means, _as_float32)


def normalised(vectors: npt.ArrayLike) -> F64:
    """(R, D) -> (R, D) float64, rows of length 1; a zero row stays zero. Raises DataError if not finite."""
    values = np.asarray(vectors, dtype=np.float64)
    norms = _lengths(values)
    unit: F64 = values / np.where(norms > 0, norms, 1.0)[:, None]
    return unit


def _lengths(values: F64) -> F64:
    """(R, D) -> (R,). Raises DataError if not finite."""
    norms = np.sqrt(np.einsum("rd,rd->r", values, values))
    if not np.isfinite(norms).all():
        raise DataError(
            "features", got="a value that is not finite", expected="finite numbers", remedy="extract them anew"
        )
    return np.asarray(norms)


_CANCELLED = 1e-12
"""A mean of unit vectors below this is rounding."""


def _direction(means: F64) -> F64:
    """Means of unit vectors (J, D), L2-normalised; where the vectors cancel, what rounding leaves has no direction."""
    means[np.abs(means).max(axis=1, initial=0.0) < _CANCELLED] = 0.0
    return normalised(means)


def _on_grid(products: F64, own: F64, others: F64) -> I64:
    """In units of 1 / GRID: of vectors of length 1 rounding is far smaller."""
    units = np.empty(products.shape, dtype=np.int64)
    _fill_units(products, own, others, units)
    return units


@compiled
def _fill_units(products: Any, own: Any, others: Any, units: Any) -> None:
    for r in range(products.shape[0]):
        for s in range(products.shape[1]):
            value = np.rint(max((products[r, s] + own[r]) + others[s], 0.0) * GRID)
            units[r, s] = np.int64(min(value, _LARGEST))


def _as_float32(products: F64, own: F64, others: F64) -> I64:
    """The bits of a float32, which are in the order of the numbers; so near and far are told apart at any scale.

    Near an anchor, where its own length cancels, multiples of what may be rounding are taken first.
    """
    squared = products
    squared += own[:, None]
    squared += others
    np.maximum(squared, 0.0, out=squared)
    step = (own * _ROUNDING)[:, None]
    np.rint(np.divide(squared, step, out=squared, where=step > 0), out=squared, where=step > 0)
    np.multiply(squared, step, out=squared, where=step > 0)
    with np.errstate(over="ignore"):  # only of an anchor from elsewhere, 2^64 times as long as any row
        return squared.astype(np.float32).view(np.int32).astype(np.int64)


COSINE = Distance(normalised, _direction, _on_grid)


def distances(anchors: F64, others: F64, distance: Distance) -> I64:
    """Prepared (R, D) and (S, D) -> (R, S) int64, the distances as they are compared."""
    own = np.einsum("rd,rd->r", anchors, anchors)
    return distance.compared((-2.0 * anchors) @ others.T, own, np.einsum("rd,rd->r", others, others))


class Target:
    """Some rows of a feature array, to be ranked by their distance to anchors.

    features: (N, D), any float dtype, may be memory-mapped. rows: (M,) int64, ascending.
    """

    def __init__(self, features: Floats, rows: I64, distance: Distance = COSINE) -> None:
        self.rows = rows
        self._features, self._distance = features, distance
        self._tile = max(1, _TILE // max(1, features.shape[1]))
        self._held = distance.prepared(features[rows]) if len(rows) <= self._tile else None

    def nearest(self, anchors: npt.ArrayLike) -> I64:
        """Keys (R, M) for anchors (R, D): the smallest is the nearest row, ties the lower row."""
        prepared = self._distance.prepared(anchors)
        if self._held is not None:
            return nearest_keys(distances(prepared, self._held, self._distance))
        found = np.empty((len(prepared), len(self.rows)), dtype=np.int64)
        for start in range(0, len(self.rows), self._tile):
            part = slice(start, start + self._tile)
            others = self._distance.prepared(self._features[self.rows[part]])
            found[:, part] = distances(prepared, others, self._distance)
        return nearest_keys(found)

    def farthest(self, anchors: npt.ArrayLike) -> I64:
        """Keys (R, M) for anchors (R, D): the smallest is the farthest row, ties the lower row."""
        keys = self.nearest(anchors)
        keys ^= _FARTHEST << _BITS  # the complement of the distance; the position stays
        return keys

    def exclude(self, keys: I64, rows: I64) -> Bools:
        """Mark in keys (R, M), in place, the column that is rows[r] itself. Returns (R,): there was one."""
        if not len(self.rows):
            return np.zeros(len(rows), dtype=np.bool_)
        column = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        found: Bools = self.rows[column] == rows
        keys[np.flatnonzero(found), column[found]] = EXCLUDED
        return found


def nearest_keys(compared: I64) -> I64:
    """Distances (R, M) as they are compared -> rank keys (R, M); the column is the position. In place."""
    compared <<= _BITS
    compared |= np.arange(compared.shape[1], dtype=np.int64)
    return compared


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
