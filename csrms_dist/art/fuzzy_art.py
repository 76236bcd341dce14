"""Fuzzy ART: categories are boxes in [0, 1]^D, resemblance is the L1 distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClusterMixin

from csrms_dist.art import kernels
from csrms_dist.art.spherical_art import as_matrix, check_vigilance
from csrms_dist.config import ClusterSettings, check_value
from csrms_dist.errors import DataError

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


class Boxes(NamedTuple):
    """J categories: complement-coded boxes w (J, 2D) float64, and how many rows each has learnt, n (J,) int64."""

    weights: F64
    counts: I64


def complement_code(x: npt.NDArray[np.floating[Any]]) -> F64:
    """I = [x, 1 - x] for points x (N, D) in [0, 1]: (N, 2D) float64 with |I|_1 = D."""
    wide = np.asarray(x, np.float64)
    return np.concatenate([wide, 1.0 - wide], axis=1)


def learn(
    codes: F64,
    vigilance: float,
    *,
    choice: float = 0.01,
    learning_rate: float = 0.5,
    weights: I64 | None = None,
    boxes: bool = False,
    known: Boxes | None = None,
) -> tuple[Boxes, I32]:
    """One pass over the inputs, one at a time, in the order given (Carpenter, Grossberg and Rosen 1991).

    For an input I and categories w_j, with ^ the element-wise minimum and all norms L1::

        match_j = |I ^ w_j| / |I|                     passes if match_j >= vigilance
        winner  = argmax_j  |I ^ w_j| / (choice + |w_j|)   among those that pass; ties to the highest index
        w      <- learning_rate (I ^ w) + (1 - learning_rate) w;  none passes: a new category w = I

    Parameters
    ----------
    codes: (N, 2D) float64: complement-coded points, or boxes (with `boxes`), whose match is |I ^ w_j| / D, so that
        every box made by merging keeps |w| >= vigilance D.
    weights: (N,) int64, how many rows each input stands for; one each by default.
    known: categories to go on from.

    Returns
    -------
    The categories, and the category that each input joined, (N,) int32.

    Examples
    --------
    >>> boxes, labels = learn(complement_code(np.array([[0.1], [0.2], [0.9]])), vigilance=0.8)
    >>> labels
    array([0, 0, 1], dtype=int32)
    """
    rows = np.ascontiguousarray(codes, np.float64)
    m = np.ones(len(rows), np.int64) if weights is None else np.asarray(weights, np.int64)
    start = known or Boxes(np.zeros((0, rows.shape[1])), np.zeros(0, np.int64))
    sizes = np.full(len(rows), rows.shape[1] / 2) if boxes else _norms(rows)
    w, n, labels = kernels.fuzzy_learn(
        rows, sizes, m, float(vigilance), float(choice), float(learning_rate), start.weights, start.counts
    )
    return Boxes(w, n), labels


def merge(parts: Sequence[Boxes], vigilance: float, *, choice: float = 0.01) -> Boxes:
    """Merge the boxes of several learners by box union (learning rate 1), sorted by (n descending, raw bytes of w).

    The sort key is the whole category, so the order of `parts` does not matter.
    """
    w = np.concatenate([part.weights for part in parts])
    n = np.concatenate([part.counts for part in parts])
    order = sorted(range(len(w)), key=lambda k: (-int(n[k]), w[k].tobytes()))
    return learn(w[order], vigilance, choice=choice, learning_rate=1.0, weights=n[order], boxes=True)[0]


def assign(codes: F64, weights: F64, vigilance: float, *, choice: float = 0.01) -> tuple[I32, F32]:
    """Each point's category among frozen boxes: the largest choice value of those that pass the vigilance.

    Parameters
    ----------
    codes: (N, 2D) complement-coded points. weights: (J, 2D) boxes.

    Returns
    -------
    winner: (N,) int32, ties to the highest index, -1 where none passes. score: (N,) float32, the choice value T, or 0.
    """
    rows = np.ascontiguousarray(codes, np.float64)
    winner, value = np.empty(len(rows), np.int32), np.empty(len(rows), np.float64)
    transposed = np.ascontiguousarray(weights.T)
    kernels.fuzzy_assign(
        rows, _norms(rows), float(vigilance), float(choice), transposed, _norms(weights), winner, value
    )
    return winner, value.astype(np.float32)


def _norms(rows: F64) -> F64:
    """L1 norms summed in the learner's order: a point then matches itself with exactly 1."""
    sizes = np.empty(len(rows), np.float64)
    kernels.ordered_sums(np.ascontiguousarray(rows), sizes)
    return sizes


class FuzzyART(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    r"""Fuzzy adaptive resonance theory: one pass, one row at a time, as CSRMS uses it.

    A row joins, among the boxes that resemble it enough (:math:`\lvert I \wedge w \rvert \ge \rho \lvert I \rvert`),
    the one with the largest choice value; a row that no box takes founds one.

    Parameters
    ----------
    vigilance: float in [0, 1], rho. Default 0.75.
    choice: float in (0, 10], alpha. Default 0.01.
    learning_rate: float in (0, 1], beta. Default 0.5; 1 is fast learning, where a box is the bounding box of its rows.

    Attributes
    ----------
    weights_: (J, 2D) float64, boxes [u, 1 - v] with lower corner u and upper corner v.
    counts_: (J,) int64, how many rows each category learnt.
    labels_: (N,) int32, the category that each row of the last `fit` or `partial_fit` joined while learning.
    n_features_in_: D.

    Notes
    -----
    Input must lie in [0, 1]; `art.scaling.MinMaxScaling` prepares deep features. The vigilance filter comes before the
    choice, and ties go to the highest index, as in the code released with CSRMS. The result depends on the rows' order.

    References
    ----------
    G. A. Carpenter, S. Grossberg, D. B. Rosen, "Fuzzy ART: Fast stable learning and categorization of analog patterns
    by an adaptive resonance system", Neural Networks 4 (1991) 759-771.

    Examples
    --------
    >>> FuzzyART(vigilance=0.8).fit([[0.1, 0.1], [0.2, 0.1], [0.9, 0.8]]).labels_
    array([0, 0, 1], dtype=int32)
    """

    def __init__(self, vigilance: float = 0.75, choice: float = 0.01, learning_rate: float = 0.5) -> None:
        self.vigilance = vigilance
        self.choice = choice
        self.learning_rate = learning_rate

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Learn X (N, D), numbers in [0, 1], in the order given. Raises ConfigError or DataError."""
        for name in ("weights_", "counts_", "n_features_in_"):
            if hasattr(self, name):
                delattr(self, name)
        return self.partial_fit(X)

    def partial_fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Go on learning; several calls equal one `fit` of all the rows."""
        rho, alpha, beta = self._parameters()
        codes = self._codes(X)
        known = Boxes(self.weights_, self.counts_) if hasattr(self, "weights_") else None
        self.n_features_in_ = codes.shape[1] // 2
        boxes, self.labels_ = learn(codes, rho, choice=alpha, learning_rate=beta, known=known)
        self.weights_: F64 = boxes.weights
        self.counts_: I64 = boxes.counts
        return self

    def predict(self, X: npt.ArrayLike) -> I32:
        """The category of each row with the boxes as they are, (N,) int32; -1 where none passes the vigilance."""
        if not hasattr(self, "weights_"):
            raise DataError("FuzzyART.predict", got="an estimator without categories", remedy="call fit first")
        rho, alpha, _ = self._parameters()
        return assign(self._codes(X), self.weights_, rho, choice=alpha)[0]

    def _parameters(self) -> tuple[float, float, float]:
        alpha = check_value(ClusterSettings, "choice", self.choice)
        return check_vigilance(self.vigilance), alpha, check_value(ClusterSettings, "learning_rate", self.learning_rate)

    def _codes(self, X: npt.ArrayLike) -> F64:
        x = as_matrix(X).astype(np.float64)
        expected = getattr(self, "n_features_in_", x.shape[1])
        if x.shape[1] != expected:
            raise DataError("X", got=f"{x.shape[1]} columns", expected=f"{expected} as in fit")
        outside = ~((x >= 0) & (x <= 1)).all(axis=1)  # NaN too
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise DataError(
                f"row {row} of X", got=f"values from {x[row].min():.3g} to {x[row].max():.3g}",
                expected="numbers in [0, 1]", remedy="scale the rows with art.scaling.MinMaxScaling",
            )  # fmt: skip
        return complement_code(x)
