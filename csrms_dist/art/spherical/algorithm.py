"""Spherical ART: the match and choice of ART 2-A on int8 vectors, in exact integer arithmetic, or on floats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from csrms_dist.art.inputs import finite
from csrms_dist.art.spherical import int8_products
from csrms_dist.art.spherical import kernels as spherical_kernels
from csrms_dist.basics.arrays import F32, I8, I32, I64, Bools, Matrix
from csrms_dist.errors import DataError

#: Rows that may be learnt in all: with int8 vectors it keeps every product of two sums inside 63 bits.
MAX_LEARNT_ROWS = 1_000_000
_EXACT = 2.0**53  # whole numbers below it are float64


class Categories(NamedTuple):
    """J categories: sums s (J, D) of their members, int64 or float64, and their numbers of members n (J,) int64."""

    sums: Matrix
    counts: I64


def learn(q: npt.NDArray[np.integer[Any]], vigilance: float, weights: I64 | None = None) -> Categories:
    """One pass over the inputs, one at a time, in the order given (ART 2-A with fast, exact sums).

    For an input v and categories (s_j, n_j), with S_j = s_j . s_j::

        winner = argmax_j  v . s_j / sqrt(S_j)               ties to the highest index
        joins if  v . s_j >= vigilance * sqrt((v . v) S_j)   s_j += v, n_j += weight
        else      a new category (v, weight)

    The dot products are exact int64 sums, converted to float64 for these comparisons only. Inputs that are zero have
    no direction and learn nothing.

    Parameters
    ----------
    q: (N, D) integers: int8 rows, or int64 sums of rows when categories are merged.
    vigilance: rho in [0, 1], the least cosine.
    weights: (N,) int64, how many rows each input stands for; one each by default.

    Raises
    ------
    DataError: above 10^6 rows, or where a product of two sums could leave 63 bits.

    Examples
    --------
    >>> learn(np.array([[3, 4], [6, 8], [-4, 3]], np.int8), vigilance=0.9).counts
    array([2, 1])
    """
    dimension = q.shape[1]
    empty = Categories(np.zeros((0, dimension), np.int64), np.zeros(0, np.int64))
    return extend(empty, q, vigilance, weights)


def extend(
    known: Categories, q: npt.NDArray[np.integer[Any]], vigilance: float, weights: I64 | None = None
) -> Categories:
    """`learn`, going on from the categories `known`."""
    return learn_with_labels(known, q, vigilance, weights)[0]


def learn_with_labels(
    known: Categories, rows: Matrix, vigilance: float, weights: I64 | None = None
) -> tuple[Categories, I32]:
    """`extend`, and the category that each row joined, (N,) int32; -1 for a row of zeros.

    rows: whole numbers, or float32 of length 1 for `known` with float64 sums: then products are float32.
    """
    m = np.ones(len(rows), np.int64) if weights is None else np.asarray(weights, np.int64)
    whole = known.sums.dtype == np.int64
    if whole:
        _check_bounds(known, rows, int(m.sum()) + int(known.counts.sum()))
    scratch = np.zeros((spherical_kernels.BATCH, rows.shape[1]), np.float64 if whole else np.float32)
    labels = np.empty(len(rows), np.int32)
    sums, counts = spherical_kernels.spherical_learn(
        int8_products.plain(rows), m, float(vigilance), known.sums, known.counts, scratch,
        _EXACT if whole else np.inf, labels,
    )  # fmt: skip
    return Categories(sums, counts), labels


def _check_bounds(known: Categories, q: npt.NDArray[np.integer[Any]], rows: int) -> None:
    if rows > MAX_LEARNT_ROWS:
        raise DataError(
            "rows learnt by spherical ART", got=str(rows), expected=f"at most {MAX_LEARNT_ROWS}",
            remedy="learn fewer and predict the others (learn_rows of ShardedART, cluster.learn_rows of a run)",
        )  # fmt: skip
    # |s_j| is at most the sum of its members' lengths, and |v . s_j| <= |v| |s_j| (triangle, Cauchy-Schwarz).
    length = sum(float(np.sqrt((x.astype(np.float64) ** 2).sum(axis=1)).sum()) for x in (known.sums, q))
    if length**2 >= 2.0**62:
        raise DataError(
            "vectors learnt by spherical ART", got=f"a total length of {length:.3g}", expected="less than 2^31",
            remedy="learn fewer rows, or rows of fewer dimensions",
        )  # fmt: skip


def merge(parts: Sequence[Categories], vigilance: float) -> Categories:
    """Merge the categories of several learners: their sums are the inputs, sorted by (n descending, s).

    The sort key is the whole category, so the order of `parts` does not matter.
    """
    sums = np.concatenate([part.sums for part in parts])
    counts = np.concatenate([part.counts for part in parts])
    order = np.lexsort((*sums.T[::-1], -counts))
    return learn(sums[order], vigilance, counts[order])


def freeze(sums: I64) -> I8:
    """Prototypes p_j = rint(127 s_j / max|s_j|), (J, D) int8; a sum of zero gives a prototype of zero."""
    largest = np.abs(sums).max(axis=1, initial=0)
    scale = np.where(largest > 0, largest, 1)[:, None]
    return np.rint(127 * sums / scale).astype(np.int8)


def assign(q: I8, p: I8, *, threads: int = 1) -> tuple[I32, F32]:
    """The nearest prototype of each row: max over j of q . p_j / sqrt(p_j . p_j), ties to the highest index.

    Parameters
    ----------
    q: (N, D) int8, may be memory-mapped. p: (J, D) int8, J >= 1. threads: over how many rows are divided.

    Returns
    -------
    winner: (N,) int32. score: (N,) float32, the cosine to the winner; 0 for a row of zeros.
    """
    return int8_products.nearest(q, p, threads=threads)


def joins(q: I8, p: I8, winner: I32, vigilance: float) -> Bools:
    """Which rows pass the vigilance of their winner: q . p_j >= vigilance * sqrt((q . q) (p_j . p_j)). (N,) bool."""
    return int8_products.reaches(q, p, winner, vigilance)


def quantise(x: npt.NDArray[np.floating[Any]]) -> I8:
    """Rows as int8 directions: rint(127 x / |x|) of each row alone, so that any cut of a stream is equal."""
    wide = finite(x).astype(np.float64)
    largest = np.abs(wide).max(axis=1, initial=0, keepdims=True)
    wide = wide / np.where(largest > 0, largest, 1)  # before squaring, so that nothing overflows or vanishes
    norm = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return np.rint(127 * wide / np.where(norm > 0, norm, 1)).astype(np.int8)


def as_int8(x: Matrix) -> I8:
    """int8 rows as they are; others L2-normalised and rounded to int8, each by itself."""
    return x if x.dtype == np.int8 else quantise(x.astype(np.float64))
