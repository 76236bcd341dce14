"""Spherical ART: the match and choice of ART 2-A on int8 vectors, in exact integer arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClusterMixin

from csrms_dist.art import kernels
from csrms_dist.config import ClusterSettings, check_value
from csrms_dist.errors import ConfigError, DataError

I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

#: Rows that may be learnt in all: with int8 vectors it keeps every product of two sums inside 63 bits.
MAX_LEARNT_ROWS = 1_000_000
_EXACT_IN_FLOAT32 = 1000  # 127 * 127 * 1000 < 2**24: any partial sum of an int8 product is a float32
_BLOCK_CELLS = 1 << 22  # rows x categories of one matrix product of the assignment


class Categories(NamedTuple):
    """J categories: sums s (J, D) int64 of their members, and their numbers of members n (J,) int64."""

    sums: I64
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
    m = np.ones(len(q), np.int64) if weights is None else np.asarray(weights, np.int64)
    _check_bounds(known, q, int(m.sum()) + int(known.counts.sum()))
    rows = np.ascontiguousarray(q)
    sums, counts = kernels.spherical_learn(rows, m, float(vigilance), known.sums, known.counts)
    return Categories(sums, counts)


def _check_bounds(known: Categories, q: npt.NDArray[np.integer[Any]], rows: int) -> None:
    if rows > MAX_LEARNT_ROWS:
        raise DataError(
            "rows learnt by spherical ART", got=str(rows), expected=f"at most {MAX_LEARNT_ROWS}",
            remedy="lower cluster.learn_rows",
        )  # fmt: skip
    # |s_j| is at most the sum of its members' lengths, and |v . s_j| <= |v| |s_j| (triangle, Cauchy-Schwarz).
    length = sum(float(np.sqrt((x.astype(np.float64) ** 2).sum(axis=1)).sum()) for x in (known.sums, q))
    if length**2 >= 2.0**62:
        raise DataError(
            "vectors learnt by spherical ART", got=f"a total length of {length:.3g}", expected="less than 2^31",
            remedy="lower cluster.learn_rows or reduce the vectors' dimension",
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


def assign(q: I8, p: I8) -> tuple[I32, F32]:
    """The nearest prototype of each row: max over j of q . p_j / sqrt(p_j . p_j), ties to the highest index.

    Parameters
    ----------
    q: (N, D) int8. p: (J, D) int8, J >= 1.

    Returns
    -------
    winner: (N,) int32. score: (N,) float32, the cosine to the winner; 0 for a row of zeros.
    """
    # One integer matrix product: every partial sum is a whole number that the float type holds, in whatever order.
    exact: type[np.floating[Any]] = np.float32 if q.shape[1] <= _EXACT_IN_FLOAT32 else np.float64
    transposed = np.ascontiguousarray(p.astype(exact).T)
    roots = np.sqrt(_squares(p).astype(np.float64))
    roots[roots == 0] = 1
    winner, value = np.empty(len(q), np.int32), np.empty(len(q), np.float64)
    block = max(1, min(8192, _BLOCK_CELLS // max(1, len(p))))
    for start in range(0, len(q), block):
        part = slice(start, start + block)
        kernels.best_cosine(q[part].astype(exact) @ transposed, roots, winner[part], value[part])
    own = np.sqrt(_squares(q).astype(np.float64))
    return winner, (value / np.where(own > 0, own, 1)).astype(np.float32)


def joins(q: I8, p: I8, winner: I32, vigilance: float) -> npt.NDArray[np.bool_]:
    """Which rows pass the vigilance of their winner: q . p_j >= vigilance * sqrt((q . q) (p_j . p_j)). (N,) bool."""
    passes = np.empty(len(q), np.bool_)
    for start in range(0, len(q), 8192):
        part = slice(start, start + 8192)
        rows, chosen = q[part].astype(np.int64), p[winner[part]].astype(np.int64)
        dot = (rows * chosen).sum(axis=1).astype(np.float64)
        square = (rows * rows).sum(axis=1).astype(np.float64) * (chosen * chosen).sum(axis=1).astype(np.float64)
        passes[part] = dot >= vigilance * np.sqrt(square)
    return passes


def _squares(x: I8) -> I64:
    squares = np.empty(len(x), np.int64)
    for start in range(0, len(x), 8192):
        block = x[start : start + 8192].astype(np.int64)
        squares[start : start + 8192] = (block * block).sum(axis=1)
    return squares


def quantise(x: npt.NDArray[np.floating[Any]]) -> I8:
    """The estimator's rule: rint(127 x / |x|) as int8, of each row alone, so that any cut of a stream is equal."""
    if not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
        raise DataError(f"row {row} of X", got="NaN or infinite values", expected="finite numbers", remedy="remove it")
    wide = x.astype(np.float64)
    largest = np.abs(wide).max(axis=1, initial=0, keepdims=True)
    wide = wide / np.where(largest > 0, largest, 1)  # before squaring, so that nothing overflows or vanishes
    norm = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return np.rint(127 * wide / np.where(norm > 0, norm, 1)).astype(np.int8)


class SphericalART(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    r"""Adaptive resonance on the sphere: categories are sums of their members, resemblance is the cosine.

    A row x joins the category s with the largest :math:`x \cdot s / \lVert s \rVert` if its cosine reaches the
    vigilance, and founds a category otherwise; the number of categories is a result. Arithmetic is exact (int8 rows,
    int64 sums), so the same rows in the same order give the same bytes on every machine, however the stream is cut.

    Parameters
    ----------
    vigilance: float in [0, 1], the least cosine between a row and its category when it joins. Default 0.5.

    Attributes
    ----------
    sums_: (J, D) int64, the sum of each category's members as they were learnt.
    counts_: (J,) int64, how many rows each category learnt.
    prototypes_: (J, D) int8, the frozen directions that `predict` uses.
    labels_: (N,) int32, `predict` of the rows of the last `fit` or `partial_fit`.
    n_features_in_: D.

    Notes
    -----
    ART 2-A with inputs L2-normalised and learning by plain sums in place of a learning rate; there is no choice
    parameter. Floating input is normalised and quantised to int8 here, without centring; `art.scaling` prepares deep
    features better. Rows of zeros learn nothing and are predicted into the largest category.

    References
    ----------
    G. A. Carpenter, S. Grossberg, D. B. Rosen, "ART 2-A: An adaptive resonance algorithm for rapid category learning
    and recognition", Neural Networks 4 (1991) 493-504.

    Examples
    --------
    >>> X = np.array([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]])
    >>> SphericalART(vigilance=0.9).fit(X).labels_
    array([0, 0, 1], dtype=int32)
    """

    def __init__(self, vigilance: float = 0.5) -> None:
        self.vigilance = vigilance

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Learn X (N, D), int8 or finite numbers, in the order given. Raises ConfigError or DataError."""
        for name in ("sums_", "counts_", "prototypes_", "n_features_in_"):
            if hasattr(self, name):
                delattr(self, name)
        return self.partial_fit(X)

    def partial_fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Go on learning; several calls equal one `fit` of all the rows."""
        rho = check_vigilance(self.vigilance)
        q = self._rows(X)
        if not hasattr(self, "sums_"):
            self.n_features_in_ = q.shape[1]
            self.sums_, self.counts_ = np.zeros((0, q.shape[1]), np.int64), np.zeros(0, np.int64)
        self.sums_, self.counts_ = extend(Categories(self.sums_, self.counts_), q, rho)
        self.prototypes_ = freeze(self.sums_)
        self.labels_ = self._nearest(q)
        return self

    def predict(self, X: npt.ArrayLike) -> I32:
        """The category with the largest cosine, (N,) int32, whether or not it reaches the vigilance."""
        if not hasattr(self, "prototypes_"):
            raise DataError("SphericalART.predict", got="an estimator without categories", remedy="call fit first")
        return self._nearest(self._rows(X))

    def _nearest(self, q: I8) -> I32:
        if not len(self.prototypes_):  # only rows of zeros so far: one nameless category
            return np.zeros(len(q), np.int32)
        winner = assign(q, self.prototypes_)[0]
        winner[~q.any(axis=1)] = np.argmax(self.counts_)
        return winner

    def _rows(self, X: npt.ArrayLike) -> I8:
        x = as_matrix(X)
        expected = getattr(self, "n_features_in_", x.shape[1])
        if x.shape[1] != expected:
            raise DataError("X", got=f"{x.shape[1]} columns", expected=f"{expected} as in fit")
        return x.astype(np.int8) if x.dtype == np.int8 else quantise(x.astype(np.float64))


def as_matrix(X: npt.ArrayLike) -> npt.NDArray[Any]:
    """X as an array of at least one row and one column of real numbers, or DataError."""
    x = np.asarray(X)
    if x.ndim != 2 or x.shape[0] == 0 or x.shape[1] == 0 or x.dtype.kind not in "iufb":
        raise DataError("X", got=f"{x.dtype} of shape {x.shape}", expected="a matrix of numbers with at least one row")
    return x


def check_vigilance(value: Any) -> float:
    """The vigilance as a float through the settings' table; an estimator cannot choose 'auto' by itself."""
    rho = check_value(ClusterSettings, "vigilance", value)
    if isinstance(rho, str):
        raise ConfigError("vigilance", got=repr(value), expected="a number in [0, 1]", remedy="'auto' is for cluster()")
    return float(rho)
