"""Fuzzy ART whose categories each have a vigilance of their own that adapts: AM-, CM- and HI-ART."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from csrms_dist.art.fuzzy.algorithm import Boxes, Codes, learn_with_vigilances
from csrms_dist.art.fuzzy.estimator import BoxEstimator
from csrms_dist.art.inputs import check_vigilance, legal_value, parameter
from csrms_dist.art.settings import ADAPTATIONS
from csrms_dist.basics.arrays import F64, I32, I64, Matrix
from csrms_dist.basics.lookup import resolve
from csrms_dist.basics.settings import Settings, setting


@dataclass(frozen=True)
class AdaptiveVigilanceSettings(Settings):
    """The parameters beside Fuzzy ART's."""

    kind: str = setting("hi", words=tuple(ADAPTATIONS), doc="which rule adapts the vigilances")
    sigma: float | str = setting("auto", "[0, 1]", words=("auto",), doc="strength of AM-ART's rule; auto: 1 / rows")
    delta: float = setting(1e-3, "[0, 1]", doc="by how much CM-ART's rule exceeds a match")


def learn(
    codes: Matrix,
    vigilance: float,
    *,
    kind: str = "hi",
    choice: float = 0.01,
    learning_rate: float = 0.6,
    sigma: float | str = "auto",
    delta: float = 1e-3,
    weights: I64 | None = None,
    known: tuple[Boxes, F64] | None = None,
) -> tuple[Boxes, F64, I32]:
    """One pass over the inputs, one at a time, in the order given (Meng, Tan and Wunsch 2015).

    As `algorithm.learn`, but category j passes if match_j >= rho_j. With the winner k, of choice value T_k, and the
    vigilances as they were before the row, in this order::

        CM, HI:  rho_j <- match_j + delta     for every j /= k that passed
        AM, HI:  rho_j <- (1 - sigma) rho_j   for every j /= k with T_j >= T_k
        AM, HI:  rho_k <- (1 + sigma) rho_k   (CM leaves it)
        none passes:  AM, HI: rho_j <- (1 - sigma) rho_j for every j; a new category of vigilance rho

    each at most 1, in float64.

    Parameters
    ----------
    codes: (N, 2D) complement codes of points, uint8 or floats.
    vigilance: rho, that of new categories.
    sigma: a number, or "auto" for 1 / N.
    weights: (N,) int64, how many rows each input stands for; one each by default.
    known: categories to go on from, of the codes' type, and their vigilances.

    Returns
    -------
    The categories, their vigilances (J,) float64, and the category that each input joined, (N,) int32.

    Raises
    ------
    ConfigError: an illegal kind, sigma or delta. DataError: `known` of another type or width.

    Examples
    --------
    >>> import numpy as np
    >>> from csrms_dist.art.fuzzy.algorithm import complement_code
    >>> codes = complement_code(np.array([[0.1], [0.3], [0.9], [0.15]]))
    >>> boxes, vigilances, labels = learn(codes, 0.7, kind="am", sigma=0.1)
    >>> labels
    array([0, 0, 1, 0], dtype=int32)
    >>> vigilances.round(4)  # 0.7, up, down (a row that it refused), up
    array([0.7623, 0.7   ])
    """
    return learn_with_vigilances(
        codes, vigilance, choice=choice, learning_rate=learning_rate, points=False, kind=_kind(kind),
        sigma=_sigma(sigma, len(codes)), delta=_delta(delta), weights=weights, known=known,
    )  # fmt: skip


def _checked(name: str, value: Any) -> Any:
    return legal_value(f"AdaptiveVigilanceART: {name}", value, name, AdaptiveVigilanceSettings)


def _kind(kind: Any) -> int:
    return int(resolve(ADAPTATIONS[_checked("kind", kind)]))


def _sigma(sigma: Any, rows: int) -> float:
    value = _checked("sigma", sigma)
    return 1.0 / max(1, rows) if value == "auto" else float(value)


def _delta(delta: Any) -> float:
    return float(_checked("delta", delta))


class AdaptiveVigilanceART(BoxEstimator):
    r"""Fuzzy ART with a vigilance for each category, which rises where categories overlap and falls where they miss.

    A row joins, among the categories with :math:`\lvert I \wedge w_j \rvert \ge \rho_j D`, the one with the largest
    choice value T, and the vigilances change:

    - AM-ART (activation maximisation): categories that refused the row although their T is at least the winner's, and
      all if none took it, multiply theirs by :math:`1 - \sigma`; the winner multiplies its own by :math:`1 + \sigma`.
    - CM-ART (confliction minimisation): categories that would have taken the row and lost it raise theirs just above
      their match, to :math:`\lvert I \wedge w_j \rvert / D + \delta`.
    - HI-ART (hybrid integration): both.

    Parameters
    ----------
    kind: "am", "cm" or "hi". Default "hi".
    vigilance: float in [0, 1], rho, that of new categories. Default 0.75.
    choice: float in (0, 10], alpha. Default 0.01.
    learning_rate: float in (0, 1], beta. Default 0.6.
    sigma: float in [0, 1], or "auto" for 1 / N with N the rows of the first `fit` or `partial_fit`. Default "auto".
    delta: float in [0, 1]. Default 0.001.

    Attributes
    ----------
    weights_, counts_, labels_, n_features_in_: as in `FuzzyART`; uint8 or float32 as the rows that were learnt.
    vigilances_: (J,) float64, each category's own, which `predict` uses.
    sigma_: the number that sigma came to.

    Notes
    -----
    The arithmetic is that of `FuzzyART`; for uint8 everything is the same on every machine. With sigma a number,
    several calls of `partial_fit` equal one `fit`; "auto" differs with the rows of the first call.

    References
    ----------
    L. Meng, A.-H. Tan, D. C. Wunsch, "Adaptive scaling of cluster boundaries for large-scale social media data
    clustering", IEEE Transactions on Neural Networks and Learning Systems 27 (2016, online 2015) 2656-2669.

    Examples
    --------
    >>> X = [[0.1, 0.1], [0.2, 0.1], [0.9, 0.8], [0.2, 0.2]]
    >>> model = AdaptiveVigilanceART("hi", vigilance=0.8).fit(X)
    >>> model.labels_
    array([0, 0, 1, 0], dtype=int32)
    >>> model.vigilances_
    array([0.9375, 0.8   ])
    """

    vigilances_: F64
    sigma_: float

    def __init__(
        self,
        kind: str = "hi",
        vigilance: float = 0.75,
        choice: float = 0.01,
        learning_rate: float = 0.6,
        sigma: float | str = "auto",
        delta: float = 1e-3,
    ) -> None:
        self.kind = kind
        self.vigilance = vigilance
        self.choice = choice
        self.learning_rate = learning_rate
        self.sigma = sigma
        self.delta = delta

    def _learn(self, x: Codes, known: Boxes | None) -> tuple[Boxes, I32]:
        kind, delta, sigma = _kind(self.kind), _delta(self.delta), _sigma(self.sigma, len(x))
        rho, beta = check_vigilance(self), parameter(self, "learning_rate")
        if known is not None and self.sigma == "auto":
            sigma = self.sigma_
        boxes, vigilances, labels = learn_with_vigilances(
            x, rho, choice=self._choice(), learning_rate=beta, points=True, kind=kind, sigma=sigma, delta=delta,
            known=None if known is None else (known, self.vigilances_),
        )  # fmt: skip
        self.sigma_, self.vigilances_ = sigma, vigilances
        return boxes, labels

    def _vigilances(self) -> F64:
        return self.vigilances_
