"""Fuzzy ART as an estimator, and the part that every estimator with boxes has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin

from csrms_dist.art.fuzzy.algorithm import Boxes, Codes, assign_points, common_parts, learn_with_vigilances, typed
from csrms_dist.art.inputs import (
    check_vigilance,
    in_unit_interval,
    kept_on_failure,
    parameter,
    rows_to_learn,
    rows_to_place,
)
from csrms_dist.basics.arrays import F64, I32, I64, Matrix
from csrms_dist.errors import DataError


class BoxEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """The common part of estimators with boxes: they differ in how they learn and in the vigilance of each box."""

    weights_: Codes
    counts_: I64
    labels_: I32
    n_features_in_: int
    choice: float

    @abstractmethod
    def _learn(self, x: Codes, known: Boxes | None) -> tuple[Boxes, I32]:
        """Learn points, going on from `known`; checks the parameters."""

    @abstractmethod
    def _vigilances(self) -> float | F64:
        """The vigilance of all boxes, or of each, (J,)."""

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Learn X (N, D), numbers in [0, 1] or uint8, in the order given. Raises ConfigError or DataError."""
        with kept_on_failure(self, anew=True):
            return self.partial_fit(X)

    def partial_fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Go on learning, rows of the same type; several calls equal one `fit` of all the rows."""
        with kept_on_failure(self):
            x = self._points(rows_to_learn(self, X))
            known = Boxes(self.weights_, self.counts_) if hasattr(self, "weights_") else None
            boxes, self.labels_ = self._learn(x, known)
            self.weights_, self.counts_ = boxes.weights, boxes.counts
        return self

    def predict(self, X: npt.ArrayLike) -> I32:
        """The category of each row with the boxes as they are, (N,) int32; -1 where none passes the vigilance."""
        x = self._placed_points(X, "predict")
        return assign_points(x, self.weights_, self._vigilances(), choice=self._choice())[0]

    def transform(self, X: npt.ArrayLike) -> F64:
        """The L1 distance of each row to each box, divided by D: (N, J) float64, 0 inside the box."""
        x = self._placed_points(X, "transform")
        distances: F64 = (self._norms() - common_parts(x, self.weights_)) / (self._unit() * x.shape[1])
        return distances

    def choice_values(self, X: npt.ArrayLike) -> F64:
        """T = |I ^ w_j| / (choice + |w_j|) of each row with each box, whether or not it passes: (N, J) float64."""
        x = self._placed_points(X, "choice_values")
        values: F64 = common_parts(x, self.weights_) / (self._choice() * self._unit() + self._norms())
        return values

    @property
    def _n_features_out(self) -> int:
        return len(self.counts_)

    def _choice(self) -> float:
        return float(parameter(self, "choice"))

    def _unit(self) -> float:
        return 255.0 if self.weights_.dtype == np.uint8 else 1.0

    def _norms(self) -> F64:
        norms: F64 = self.weights_.sum(axis=1, dtype=np.float64)  # exact in any order
        return norms

    def _placed_points(self, X: npt.ArrayLike, method: str) -> Codes:
        return self._points(rows_to_place(self, X, method))

    def _points(self, x: Matrix) -> Codes:
        if x.dtype != np.uint8 and x.dtype.kind != "f":
            raise DataError(
                "X", got=str(x.dtype), expected="floating-point numbers in [0, 1], or uint8 that stand for value / 255",
                remedy="convert the array, and scale it first if its numbers are larger",
            )  # fmt: skip
        if hasattr(self, "weights_") and (x.dtype == np.uint8) != (self.weights_.dtype == np.uint8):
            kind = "uint8" if self.weights_.dtype == np.uint8 else "floating-point numbers"
            raise DataError("X", got=str(x.dtype), expected=f"{kind} as in fit", remedy="convert the rows as then")
        return typed(x if x.dtype == np.uint8 else in_unit_interval(x))


class FuzzyART(BoxEstimator):
    r"""Fuzzy adaptive resonance theory: one pass, one row at a time, as CSRMS uses it.

    With :math:`I = [x, 1 - x]` and all norms L1, a row joins, among the boxes that resemble it enough
    (:math:`\lvert I \wedge w \rvert \ge \rho D`), the one with the largest choice value
    :math:`T = \lvert I \wedge w \rvert / (\alpha + \lvert w \rvert)`, and the box moves:
    :math:`w \leftarrow w - \beta (w - I \wedge w)`. A row that no box takes founds one, :math:`w = I`.

    Parameters
    ----------
    vigilance: float in [0, 1], rho. Default 0.75.
    choice: float in (0, 10], alpha. Default 0.01.
    learning_rate: float in (0, 1], beta. Default 0.5; 1 is fast learning, where a box is the bounding box of its rows.

    Attributes
    ----------
    weights_: (J, 2D), boxes [u, 1 - v] with lower corner u and upper corner v; uint8 (and [u, 255 - v]) or float32, as
        the rows that were learnt.
    counts_: (J,) int64, how many rows each category learnt.
    labels_: (N,) int32, the category that each row of the last `fit` or `partial_fit` joined while learning.
    n_features_in_: D.

    Notes
    -----
    The input's type chooses the arithmetic. uint8 stand for value / 255: every sum is an exact integer, the same on
    every machine, and about five times as fast as floats. Its learning rate is rint(256 beta) / 256, and the halves of
    what it rounds go to larger boxes, which makes some more categories than floats do.

    Floats must lie in [0, 1], as scikit-learn's `MinMaxScaler(clip=True)` gives them (`art.scaling.MinMaxScaling`
    prepares deep features); what misses the interval by rounding, up to 5e-7, is clipped. They are rounded to
    multiples of 2^-24. Exact are |I| = D, the norms of boxes, a distance of 0 inside a box, and so the match of a row
    with its own code; distances to the outside are float32 sums, so that a match may be off by about 1e-6 and two
    almost equal choice values may change places. That floats give the same on every machine is not promised.

    The vigilance filter comes before the choice, and ties go to the highest index, as in the code released with CSRMS.
    The result depends on the rows' order.

    References
    ----------
    G. A. Carpenter, S. Grossberg, D. B. Rosen, "Fuzzy ART: Fast stable learning and categorization of analog patterns
    by an adaptive resonance system", Neural Networks 4 (1991) 759-771.

    Examples
    --------
    >>> FuzzyART(vigilance=0.8).fit([[0.1, 0.1], [0.2, 0.1], [0.9, 0.8]]).labels_
    array([0, 0, 1], dtype=int32)
    >>> model = FuzzyART(vigilance=0.8).fit(np.array([[25, 25], [51, 25], [229, 204]], np.uint8))
    >>> model.predict(np.array([[30, 25], [128, 0]], np.uint8))
    array([ 0, -1], dtype=int32)
    """

    def __init__(self, vigilance: float = 0.75, choice: float = 0.01, learning_rate: float = 0.5) -> None:
        self.vigilance = vigilance
        self.choice = choice
        self.learning_rate = learning_rate

    def _learn(self, x: Codes, known: Boxes | None) -> tuple[Boxes, I32]:
        rho = self._vigilances()
        start = None if known is None else (known, np.full(len(known.counts), rho))
        boxes, _, labels = learn_with_vigilances(
            x, rho, choice=self._choice(), points=True, known=start,
            learning_rate=parameter(self, "learning_rate"),
        )  # fmt: skip
        return boxes, labels

    def _vigilances(self) -> float:
        return check_vigilance(self)
