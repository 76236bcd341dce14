"""Fuzzy ART: categories are boxes in [0, 1]^D, resemblance is the L1 distance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin

from csrms_dist.art.fuzzy import kernels as fuzzy_kernels
from csrms_dist.art.fuzzy.absolute_differences import GROUP, padded
from csrms_dist.art.inputs import kept_on_failure, not_finite, parameter, rows_to_learn, rows_to_place
from csrms_dist.art.spherical.algorithm import check_vigilance
from csrms_dist.basics.arrays import F32, F64, I32, I64, U8, Matrix
from csrms_dist.errors import DataError

#: uint8, which stand for value / 255, or float32
Codes: TypeAlias = U8 | F32

MAX_DIMENSION = 2_000_000  # above it the sums of byte differences could leave 31 bits
_ROWS_AT_A_TIME = 128  # of an assignment
#: How far a float may lie outside [0, 1] and is clipped: 4 units in the last place of float32, as scalers leave.
ROUNDING = 4 * 2.0**-23
_CACHED_BYTES = 1 << 18  # of the categories that these rows meet before the next categories: half of a usual cache


class Boxes(NamedTuple):
    """J categories: complement-coded boxes w (J, 2D), uint8 or float32, and how many rows each learnt, n (J,) int64."""

    weights: Codes
    counts: I64


def complement_code(x: Matrix) -> Codes:
    """I = [x, 1 - x] for points x (N, D): (N, 2D) float32 for numbers in [0, 1], uint8 with [x, 255 - x] for uint8.

    Numbers are rounded to multiples of 2^-24, so that 1 - x is exact and |I|_1 = D exactly.

    Examples
    --------
    >>> complement_code(np.array([[0.25, 1.0]]))
    array([[0.25, 1.  , 0.75, 0.  ]], dtype=float32)
    >>> complement_code(np.array([[55, 255]], np.uint8))
    array([[ 55, 255, 200,   0]], dtype=uint8)
    """
    if x.dtype == np.uint8:
        return np.concatenate([x, 255 - x], axis=1)
    unit = np.float32(fuzzy_kernels.UNIT)
    grid = np.rint(x.astype(np.float32) * unit) / unit
    return np.concatenate([grid, np.float32(1) - grid], axis=1)


def learn(
    codes: Matrix,
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

        match_j = |I ^ w_j| / D                            passes if match_j >= vigilance
        winner  = argmax_j  |I ^ w_j| / (choice + |w_j|)   among those that pass; ties to the highest index
        w      <- w - learning_rate (w - I ^ w);           none passes: a new category w = I

    |I| = D for a point; a box as input is matched by D too, so that every box made by merging keeps |w| >= vigilance D.

    Parameters
    ----------
    codes: (N, 2D) complement-coded points, or boxes (with `boxes`, which says that |I| may be less than D). uint8 stand
        for value / 255 and all sums are exact integers: passes if |I ^ w| >= vigilance 255 D, with choice 255 in the
        place of choice, and w decreases by (b (w - I ^ w) + 128) >> 8 with b = rint(256 learning_rate). Floats are
        computed in float32 multiples of 2^-24 with exact norms.
    weights: (N,) int64, how many rows each input stands for; one each by default.
    known: categories to go on from, of the codes' type.

    Returns
    -------
    The categories, and the category that each input joined, (N,) int32.

    Raises
    ------
    DataError: `known` of another type or width; wider than MAX_DIMENSION.

    Examples
    --------
    >>> boxes, labels = learn(complement_code(np.array([[0.1], [0.2], [0.9]])), vigilance=0.8)
    >>> labels
    array([0, 0, 1], dtype=int32)
    """
    start = None if known is None else (known, np.full(len(known.counts), float(vigilance)))
    found, _, labels = learn_with_vigilances(
        codes, vigilance, choice=choice, learning_rate=learning_rate, weights=weights, points=False, known=start
    )
    return found, labels


def learn_with_vigilances(
    source: Matrix,
    vigilance: float,
    *,
    choice: float,
    learning_rate: float,
    points: bool,
    kind: int = 0,
    sigma: float = 0.0,
    delta: float = 0.0,
    weights: I64 | None = None,
    known: tuple[Boxes, F64] | None = None,
) -> tuple[Boxes, F64, I32]:
    """`learn` over points (N, D) or codes (N, 2D), with a vigilance for each category, which `kind` lets change.

    kind: 0, or bits of fuzzy_kernels.RESET and RAISE. Returns the categories, their vigilances (J,), the labels (N,).
    """
    rows = _typed(source)
    width = rows.shape[1] * (2 if points else 1)
    unit, size_type, cell_type = _arithmetic(rows.dtype, width)
    boxes, vigilances = known or (Boxes(np.zeros((0, width), rows.dtype), np.zeros(0, np.int64)), np.zeros(0))
    _check_alike("the known categories", boxes.weights, rows.dtype, width)
    used, reached, n = len(boxes.weights), 0, len(rows)
    m = np.ones(n, np.int64) if weights is None else np.asarray(weights, np.int64)
    labels = np.empty(n, np.int32)
    batch = padded(np.zeros((fuzzy_kernels.BATCH, width), rows.dtype))
    w, counts, rho = boxes.weights, boxes.counts, vigilances
    while True:
        capacity = max(64, 2 * used) // GROUP * GROUP
        w, counts, rho = padded(w[:used, :width], capacity), _extended(counts, capacity), _extended(rho, capacity)
        norms, table = np.zeros(len(w), size_type), np.empty((len(batch), len(w)), cell_type)
        fuzzy_kernels.norms_of(w, norms)
        reached, used = fuzzy_kernels.learn(
            rows, points, m, kind, float(vigilance), float(unit * (width // 2)), float(choice * unit),
            float(learning_rate), float(sigma), float(delta), used, w, norms, counts, rho, batch, table, labels,
            reached,
        )  # fmt: skip
        if reached == n:
            return Boxes(w[:used, :width].copy(), counts[:used].copy()), rho[:used].copy(), labels


def merge(parts: Sequence[Boxes], vigilance: float, *, choice: float = 0.01) -> Boxes:
    """Merge the boxes of several learners by box union (learning rate 1), sorted by (n descending, raw bytes of w).

    The sort key is the whole category, so the order of `parts` does not matter.
    """
    first = parts[0].weights
    for part in parts:
        _check_alike("a part's boxes", part.weights, first.dtype, first.shape[1])
    w = np.concatenate([part.weights for part in parts])
    n = np.concatenate([part.counts for part in parts])
    order = sorted(range(len(w)), key=lambda k: (-int(n[k]), w[k].tobytes()))
    return learn(w[order], vigilance, choice=choice, learning_rate=1.0, weights=n[order], boxes=True)[0]


def assign(
    codes: Matrix, weights: Codes, vigilance: float | F64, *, choice: float = 0.01, threads: int = 1
) -> tuple[I32, F32]:
    """Each input's category among frozen boxes: the largest choice value of those that pass the vigilance.

    Parameters
    ----------
    codes: (N, 2D) complement-coded points. weights: (J, 2D) boxes of the same type, uint8 or floats.
    vigilance: one number for all boxes, or one for each, (J,) float64.
    threads: how many share the rows; the result does not depend on it.

    Returns
    -------
    winner: (N,) int32, ties to the highest index, -1 where none passes. score: (N,) float32, the choice value T, or 0.

    Examples
    --------
    >>> codes = complement_code(np.array([[0], [20], [255]], np.uint8))
    >>> assign(codes, codes[:1], vigilance=0.9)[0]
    array([ 0,  0, -1], dtype=int32)
    """
    return _assign(codes, weights, vigilance, choice, threads, points=False)


def assign_points(
    x: Matrix, weights: Codes, vigilance: float | F64, *, choice: float = 0.01, threads: int = 1
) -> tuple[I32, F32]:
    """`assign` of points x (N, D), uint8 or numbers in [0, 1], whose complement codes are made 128 rows at a time."""
    return _assign(x, weights, vigilance, choice, threads, points=True)


def common_parts(x: Matrix, weights: Codes) -> F64:
    """|I ^ w_j| of points x (N, D) with boxes w (J, 2D), in their unit (a byte counts 1): (N, J) float64."""
    rows, w = _typed(x), padded(_typed(weights))
    _, size_type, cell_type = _arithmetic(rows.dtype, 2 * rows.shape[1])
    _check_alike("the boxes", weights, rows.dtype, 2 * rows.shape[1])
    norms = np.zeros(len(w), size_type)
    fuzzy_kernels.norms_of(w, norms)
    common = np.empty((len(rows), len(weights)), np.float64)
    batch = padded(np.zeros((fuzzy_kernels.BATCH, 2 * rows.shape[1]), rows.dtype))
    fuzzy_kernels.common_of(rows, w, norms, batch, np.empty((len(batch), len(w)), cell_type), common)
    return common


def _assign(
    source: Matrix, weights: Codes, vigilance: float | F64, choice: float, threads: int, points: bool
) -> tuple[I32, F32]:
    rows, w = _typed(source), padded(_typed(weights))
    width = rows.shape[1] * (2 if points else 1)
    unit, size_type, cell_type = _arithmetic(rows.dtype, width)
    _check_alike("the boxes", weights, rows.dtype, width)
    rho = np.ascontiguousarray(np.broadcast_to(np.asarray(vigilance, np.float64), len(weights)))
    norms = np.zeros(len(w), size_type)
    fuzzy_kernels.norms_of(w, norms)
    line = w.shape[1] * w.itemsize
    height = min(_ROWS_AT_A_TIME, max(fuzzy_kernels.BATCH, _CACHED_BYTES // (2 * line) // GROUP * GROUP))
    columns = max(GROUP, min(len(w), _CACHED_BYTES // line // GROUP * GROUP))
    winner, value = np.empty(len(rows), np.int32), np.empty(len(rows), np.float64)

    def run(part: slice) -> None:
        fuzzy_kernels.assign(
            rows[part], points, rho, float(unit * (width // 2)), float(choice * unit), w, norms,
            padded(np.zeros((height, width), rows.dtype)), np.empty((height, columns), cell_type),
            winner[part], value[part],
        )  # fmt: skip

    share = max(1, -(-len(rows) // max(1, threads)))
    parts = [slice(start, start + share) for start in range(0, len(rows), share)]
    if len(parts) > 1:
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(run, parts))
    elif parts:
        run(parts[0])
    return winner, value.astype(np.float32)


def _typed(x: Matrix) -> Codes:
    """Bytes as they are, everything else as float32; C-contiguous."""
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    return np.ascontiguousarray(x, np.float32)


def _arithmetic(dtype: np.dtype[Any], width: int) -> tuple[float, type[np.generic], type[np.generic]]:
    """What stands for 1, the type of norms, and the type of what one row and one category give."""
    if width > 2 * MAX_DIMENSION:
        raise DataError("points", got=f"{width // 2} dimensions", expected=f"at most {MAX_DIMENSION}")
    return (255.0, np.int64, np.int32) if dtype == np.uint8 else (1.0, np.float64, np.float32)


def _check_alike(what: str, weights: Matrix, dtype: np.dtype[Any], width: int) -> None:
    if weights.dtype != dtype or weights.shape[1] != width:
        raise DataError(
            what, got=f"{weights.dtype} of width {weights.shape[1]}", expected=f"{dtype} of width {width}",
            remedy="learn and assign points of one type and dimension, uint8 or floats",
        )  # fmt: skip


def _extended(values: Matrix, length: int) -> Matrix:
    result = np.zeros(length, values.dtype)
    result[: min(len(values), length)] = values[:length]
    return result


def in_unit_interval(x: Matrix, what: str = "row {} of X") -> Matrix:
    """Floats in [0, 1]; what misses it by rounding alone is clipped. DataError names the first row outside."""
    low, high = x.min(), x.max()
    if low >= 0 and high <= 1:
        return x
    if low >= -ROUNDING and high <= 1 + ROUNDING:
        clipped: Matrix = np.clip(x, 0, 1)
        return clipped
    inside = (x >= -ROUNDING) & (x <= 1 + ROUNDING)  # NaN is not
    row = int(np.flatnonzero(~inside.all(axis=1))[0])
    if not np.isfinite(x[row]).all():
        raise not_finite(row, x[row], what)
    column = int(np.flatnonzero(~inside[row])[0])
    raise DataError(
        what.format(row), got=f"{x[row, column]!s} in column {column}", expected="numbers in [0, 1]",
        remedy="scale them, as with sklearn.preprocessing.MinMaxScaler(clip=True)",
    )  # fmt: skip


class BoxEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """What the estimators with boxes share: they differ in how they learn and in the vigilance of each box."""

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
        return _typed(x if x.dtype == np.uint8 else in_unit_interval(x))


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
