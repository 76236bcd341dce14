"""Spherical ART as an estimator: int8 rows in exact numbers, other rows as float32 of length 1."""

from __future__ import annotations

from typing import Any, Self
from warnings import warn

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin

from csrms_dist.art.calibration import one_for_all
from csrms_dist.art.inputs import (
    as_matrix,
    check_vigilance,
    kept_on_failure,
    not_finite,
    rows_to_learn,
    rows_to_place,
)
from csrms_dist.art.spherical import int8_products
from csrms_dist.art.spherical import kernels as spherical_kernels
from csrms_dist.art.spherical.algorithm import Categories, freeze, learn_with_labels
from csrms_dist.basics.arrays import F32, I8, I32, I64, Matrix
from csrms_dist.errors import DataError

_BLOCK = 1024  # rows whose products with all categories are in memory at once
_CACHED = 1 << 18  # float32 numbers, 1 MB: a block of float rows is cut to about that, but not below a quarter


class SphericalART(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):  # type: ignore[misc]
    r"""Adaptive resonance on the sphere: categories are sums of their members, resemblance is the cosine.

    A row x joins the category s with the largest :math:`x \cdot s / \lVert s \rVert` if its cosine reaches the
    vigilance, and founds a category otherwise; the number of categories is a result.

    Parameters
    ----------
    vigilance: float in [0, 1], the least cosine between a row and its category when it joins. Default 0.5.

    Attributes
    ----------
    sums_: (J, D) the sum of each category's members: int64 for int8 rows, else float64 of rows of length 1.
    counts_: (J,) int64, how many rows each category learnt.
    prototypes_: (J, D) the frozen directions that `predict` uses: int8 for int8 rows, else float32 of length 1.
    labels_: (N,) int32, the category that each row of the last `fit` or `partial_fit` joined, -1 for rows of zeros.
    n_features_in_: D.

    Notes
    -----
    ART 2-A with inputs L2-normalised and learning by plain sums in place of a learning rate; there is no choice
    parameter. The input's type chooses the arithmetic. int8 rows are exact (int64 sums): the same rows in the same
    order give the same bytes on every machine, however the stream is cut. Other numbers are L2-normalised here, without
    centring, and multiplied as float32 by the BLAS library: the same on the same kind of processor and libraries.
    `art.scaling` prepares deep features better. Rows of zeros learn nothing. At most 10^6 int8 rows can be learnt.

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
        with kept_on_failure(self, anew=True):
            self.partial_fit(X)
        share = float(self.counts_.max(initial=0) / max(1, len(self.labels_)))
        if sentence := one_for_all(as_matrix(X), share, float(self.vigilance), type(self).__name__):
            warn(sentence, stacklevel=2)
        return self

    def partial_fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Go on learning; of int8 rows several calls equal one `fit` of all. X must be of the kind of the first."""
        rho = check_vigilance(self)
        with kept_on_failure(self):
            x = self._of_the_kind_learnt(rows_to_learn(self, X))
            rows = x if x.dtype == np.int8 else unit_rows(x)
            if not hasattr(self, "sums_"):
                self.sums_: Matrix = np.zeros((0, rows.shape[1]), np.int64 if rows.dtype == np.int8 else np.float64)
                self.counts_ = np.zeros(0, np.int64)
            known = Categories(self.sums_, self.counts_)
            (self.sums_, self.counts_), self.labels_ = learn_with_labels(known, rows, rho)
            self.prototypes_: Matrix = freeze(self.sums_) if rows.dtype == np.int8 else unit_rows(self.sums_)
        return self

    def predict(self, X: npt.ArrayLike) -> I32:
        """The category with the largest cosine, (N,) int32; -1 where that is below the vigilance, or nothing."""
        rows, rho = self._checked(X, "predict"), check_vigilance(self)
        if not len(self.prototypes_):
            return np.full(len(rows), -1, np.int32)
        if rows.dtype == np.int8:
            return _nearest_sum(rows, self.sums_, rho)
        return _nearest_direction(rows, self.prototypes_, rho)

    def choice_values(self, X: npt.ArrayLike) -> F32:
        """The cosine of each row to each category, (N, J) float32, as `predict` compares them; 0 for rows of zeros."""
        return self._cosines(X, "choice_values")

    def transform(self, X: npt.ArrayLike) -> F32:
        """The cosine distance of each row to each category, 1 - cosine, (N, J) float32."""
        distances: F32 = np.float32(1) - self._cosines(X, "transform")
        return distances

    @property
    def _n_features_out(self) -> int:
        return len(self.counts_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # distances are float32
        return tags

    def _cosines(self, X: npt.ArrayLike, method: str) -> F32:
        x = self._checked(X, method)
        q = x if x.dtype == np.int8 else unit_rows(x)
        rows, p = (unit_rows(values.astype(np.float64)) for values in (q, self.prototypes_))
        cosines: F32 = rows @ p.T
        return cosines

    def _checked(self, X: npt.ArrayLike, method: str) -> Matrix:
        return self._of_the_kind_learnt(rows_to_place(self, X, method))

    def _of_the_kind_learnt(self, x: Matrix) -> Matrix:
        whole = getattr(self, "sums_", None)
        if whole is not None and (x.dtype == np.int8) != (whole.dtype == np.int64):
            kind = "int8" if whole.dtype == np.int64 else "numbers of another type than int8"
            raise DataError("X", got=str(x.dtype), expected=f"{kind} as in fit")
        return x


def _nearest_sum(q: I8, sums: I64, vigilance: float) -> I32:
    """The sum (J, D) with the largest cosine to each row, (N,) int32, in exact numbers; ties to the highest index."""
    winner, state = np.empty(len(q), np.int32), np.empty(len(q), np.int8)
    score = np.empty(_BLOCK, np.float32)
    # Whole numbers below 2^53, whatever is summed first: |q| |s| bounds every partial sum.
    s, squares = sums.astype(np.float64), (sums * sums).sum(axis=1)
    roots = np.sqrt(np.maximum(squares, 1).astype(np.float64))
    inverse = (1 / roots).astype(np.float32)
    for start in range(0, len(q), _BLOCK):
        part = slice(start, start + _BLOCK)
        some = q[part].astype(np.float64)
        own = (some * some).sum(axis=1).astype(np.int64)
        int8_products.choose(some @ s.T, roots, inverse, squares, own, vigilance, winner[part], score, state[part])
    return np.where(state == int8_products.REACHES, winner, -1).astype(np.int32)


def _nearest_direction(x: Matrix, p: Matrix, vigilance: float) -> I32:
    """The direction p (J, D) float32 with the largest cosine to each row, (N,) int32; ties to the highest index.

    A block's rows, their directions and their cosines stay in the processor's cache. The cosines lie as (J, B): a
    vector instruction then compares as many rows as it has lanes, and no row's largest needs a sum over lanes.
    """
    winner = np.empty(len(x), np.int32)
    block = min(max(_CACHED // sum(p.shape), _BLOCK // 4), _BLOCK)
    for start in range(0, len(x), block):
        part = slice(start, start + block)
        units = unit_rows(x[part], start)
        spherical_kernels.nearest(p @ units.T, units, vigilance, winner[part])
    return winner


def unit_rows(x: Matrix, first: int = 0) -> F32:
    """Rows at length 1 as float32; rows of zeros stay. DataError names a row that is not finite, counted from first."""
    unit = np.empty(x.shape, np.float32)
    bad = spherical_kernels.unit(int8_products.plain(x), unit)
    if bad >= 0:
        raise not_finite(first + bad, x[bad])
    return unit
