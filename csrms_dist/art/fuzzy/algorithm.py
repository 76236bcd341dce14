"""Fuzzy ART: categories are boxes in [0, 1]^D, resemblance is the L1 distance."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from csrms_dist.art.fuzzy import kernels as fuzzy_kernels
from csrms_dist.art.fuzzy.absolute_differences import GROUP, padded
from csrms_dist.basics.arrays import F32, F64, I32, I64, U8, Matrix
from csrms_dist.errors import DataError

#: uint8, which stand for value / 255, or float32
Codes: TypeAlias = U8 | F32

MAX_DIMENSION = 2_000_000  # above it the sums of byte differences could leave 31 bits
_ROWS_AT_A_TIME = 128  # of an assignment
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
    rows = typed(source)
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
    rows, w = typed(x), padded(typed(weights))
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
    rows, w = typed(source), padded(typed(weights))
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


def typed(x: Matrix) -> Codes:
    """Bytes as they are, everything else as float32; C-contiguous."""
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    return np.ascontiguousarray(x, np.float32)


def _arithmetic(dtype: np.dtype[Any], width: int) -> tuple[float, type[np.generic], type[np.generic]]:
    """The number that stands for 1, the type of norms, and that of the sum of one row and one category."""
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
