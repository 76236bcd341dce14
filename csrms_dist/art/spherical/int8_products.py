"""The nearest int8 prototype of each int8 row: one integer matrix product, fused with its winner.

For rows q (N, D) and prototypes p (J, D)::

    winner_i = argmax_j  float64(q_i . p_j) / sqrt(float64(p_j . p_j))     ties to the highest index

The products are exact integers, on the processor's instructions for bytes (`vector_code`) or, on the path `portable`,
by the BLAS library's float product, where every partial sum is a whole number that the type holds. All paths give the
same bits; which one runs depends on the processor alone.

Notes
-----
Memory: the prototypes, the products of 32 rows (`portable`: 2^18 products), and the result. Rows may lie in a file.

Divisions in float64 would cost more than the products. So a float32 estimate of each value finds about the largest;
three roundings leave an estimate within 2^-22 of its value, so whatever could be the winner lies within `_SLACK` of the
largest estimate. Only those few, nearly always one, are divided in float64 and compared.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numba
import numpy as np

from csrms_dist.art.placing import Placed
from csrms_dist.art.spherical.vector_code import (
    PATHS,
    SETS,
    TILE_ROWS,
    TOO_WIDE,
    Instructions,
    Table,
    inlined,
    largest_of_16,
    lowest_bit,
    ones,
    reaching,
    tile,
)
from csrms_dist.basics.arrays import F32, F64, I8, I32, I64, Bools, Matrix
from csrms_dist.basics.compiling import compiled
from csrms_dist.errors import ConfigError, DataError

_SLACK = np.float32(1e-6)  # relative; twice what the roundings of two estimates can amount to
_PANEL = 32  # rows whose products with all prototypes are in memory at once
_EXACT_IN_FLOAT32 = 1000  # 128 * 128 * 1000 < 2**24: any partial sum of an int8 product is a float32
_BLOCK_CELLS = 1 << 18  # products of one block of the portable path: they stay in the cache
_BLOCK_ROWS = 1 << 16  # rows that are copied at once where they do not lie one after the other

#: What a row's state says: its winner is below the vigilance, reaches it, or is none because the row is zero.
BELOW, REACHES, NO_DIRECTION = 0, 1, 2

#: Places rows (N, D): fills their winner (N,), score (N,) and, for a vigilance, state (N,).
_Place: TypeAlias = Callable[[I8, float, I32, F32, I8], None]


def nearest(q: I8, p: I8, *, path: str | None = None, threads: int = 1) -> tuple[I32, F32]:
    """The nearest prototype of each row: max over j of q . p_j / sqrt(p_j . p_j), ties to the highest index.

    Parameters
    ----------
    q: (N, D) int8, possibly memory-mapped. p: (J, D) int8, J >= 1.
    path: one of `vector_code.PATHS`; the fastest by default. The result is the same.
    threads: over how many threads the rows are divided. The result is the same.

    Returns
    -------
    winner: (N,) int32. score: (N,) float32, the cosine to the winner; 0 for a row of zeros, whose winner is J - 1.

    Raises
    ------
    DataError: arrays of another type or shape. ConfigError: a path that this processor does not have.

    Examples
    --------
    >>> nearest(np.array([[3, 4], [-1, 0]], np.int8), np.array([[1, 0], [1, 1]], np.int8))
    (array([1, 1], dtype=int32), array([ 0.98994946, -0.70710677], dtype=float32))
    """
    winner, score, _ = placed(q, p, 0.0, path=path, threads=threads)
    return winner, score


def placed(q: I8, p: I8, vigilance: float, *, path: str | None = None, threads: int = 1) -> Placed:
    """`nearest`, and what `reaches` says of it, in one pass over the rows.

    Returns winner, score and state, (N,) int8: BELOW or REACHES the vigilance, or NO_DIRECTION for a row of zeros.
    """
    check(q, p)
    place = _portable(p) if choose_path(path, p.shape[1]) == "portable" else _vectorised(p, SETS[path or PATHS[0]])
    winner, score, state = np.empty(len(q), np.int32), np.empty(len(q), np.float32), np.empty(len(q), np.int8)
    step = max(1, min(_BLOCK_ROWS, -(-len(q) // max(1, threads))))
    parts = [slice(start, start + step) for start in range(0, len(q), step)]
    if threads <= 1 or len(parts) < 2:
        for part in parts:
            place(q[part], vigilance, winner[part], score[part], state[part])
    else:
        with ThreadPoolExecutor(threads) as pool:
            work = (pool.submit(place, q[part], vigilance, winner[part], score[part], state[part]) for part in parts)
            for done in list(work):
                done.result()
    return Placed(winner, score, state)


def reaches(q: I8, p: I8, winner: I32, vigilance: float) -> Bools:
    """Which rows reach the vigilance with their winner: q . p_j >= vigilance * sqrt((q . q) (p_j . p_j)). (N,) bool."""
    check(q, p)
    out = np.empty(len(q), np.bool_)
    for start in range(0, len(q), _BLOCK_ROWS):
        part = slice(start, start + _BLOCK_ROWS)
        _reaches(plain(q[part]), plain(p), winner[part], float(vigilance), out[part])
    return out


def choose_path(path: str | None, columns: int) -> str:
    """The path to take: `path` or the fastest, and `portable` for rows too wide for 31 bits or without columns."""
    if path is not None and path not in PATHS:
        raise ConfigError("path", got=repr(path), expected=f"one of {', '.join(PATHS)}")
    return (path or PATHS[0]) if 0 < columns < TOO_WIDE else "portable"


def plain(x: Matrix) -> Matrix:
    """x as it lies, contiguous and read-only: all callers' arrays look the same to the compiler, mapped or not."""
    view = np.ascontiguousarray(x).view(np.ndarray)
    view.flags.writeable = False
    return view


def check(q: I8, p: I8) -> None:
    """Raise DataError unless q and p are what `nearest` takes."""
    if q.dtype != np.int8 or p.dtype != np.int8 or q.ndim != 2 or p.ndim != 2 or q.shape[1] != p.shape[1] or not len(p):
        raise DataError(
            "rows and prototypes", got=f"{q.dtype} of shape {q.shape} and {p.dtype} of shape {p.shape}",
            expected="int8 (N, D) and int8 (J, D) with J at least 1",
        )  # fmt: skip


def squares_of(x: I8) -> I64:
    """x . x of each row, (N,)."""
    squares = np.empty(len(x), np.int64)
    for start in range(0, len(x), 8192):
        block = x[start : start + 8192].astype(np.int64)
        squares[start : start + 8192] = (block * block).sum(axis=1)
    return squares


def packed(p: I8, simd: Instructions) -> tuple[Table, F64, I64]:
    """Prototypes (J, D) in tiles, whose number fills whole groups of 64; their lengths and squares, (J,)."""
    count, dim = p.shape
    tiles, groups = -(-count // 64) * (64 // simd.width), -(-dim // simd.columns)
    padded = np.zeros((tiles * simd.width, groups * simd.columns), simd.value_type)
    padded[:count, :dim] = p
    start = -simd.offset * padded.sum(axis=1, dtype=np.int64)  # modulo 2^32, as the accumulators count
    inverse = np.full(len(padded), np.inf, np.float32)
    squares = squares_of(p)
    roots = np.sqrt(np.maximum(squares, 1).astype(np.float64))
    inverse[:count] = 1 / roots
    start[count:] = -1  # times an infinite inverse: prototypes that pad the last tiles are never near the largest
    table = simd.table(
        np.ascontiguousarray(padded.reshape(tiles, simd.width, groups, simd.columns).transpose(0, 2, 1, 3)),
        start.astype(np.int32).reshape(tiles, simd.width),
        inverse.reshape(tiles, simd.width),
    )
    return table, roots, squares


def _vectorised(p: I8, simd: Instructions) -> _Place:
    table, roots, squares = packed(p, simd)
    columns = table.values.shape[1] * simd.columns

    def place(q: I8, vigilance: float, winner: I32, score: F32, state: I8) -> None:
        rows = np.zeros((_PANEL, columns), simd.row_type)
        _place(table, roots, squares, plain(q), simd.offset, rows, float(vigilance), winner, score, state)

    return place


def _portable(p: I8) -> _Place:
    exact: type[np.floating[Any]] = np.float32 if p.shape[1] <= _EXACT_IN_FLOAT32 else np.float64
    transposed = np.ascontiguousarray(p.astype(exact).T)
    squares = squares_of(p)
    roots = np.sqrt(np.maximum(squares, 1).astype(np.float64))
    inverse = (1 / roots).astype(np.float32)
    block = max(1, min(1024, _BLOCK_CELLS // len(p)))

    def place(q: I8, vigilance: float, winner: I32, score: F32, state: I8) -> None:
        dots = np.empty((min(block, len(q)), len(p)), exact)
        for start in range(0, len(q), block):
            rows, part = np.asarray(q[start : start + block]), slice(start, start + block)
            products = np.matmul(rows.astype(exact), transposed, out=dots[: len(rows)])
            own = squares_of(rows)
            choose(products, roots, inverse, squares, own, float(vigilance), winner[part], score[part], state[part])

    return place


@compiled
def _place(
    table: Any, roots: Any, squares: Any, q: Any, offset: Any, rows: Any, rho: Any, winner: Any, score: Any, state: Any
) -> Any:
    """Panels of rows against all tiles; rows (B, G * E) is scratch, as the tiles read rows."""
    n, dim = q.shape
    tiles, width = table.start.shape
    panel = rows.shape[0]
    dots = np.empty((panel, tiles * width), np.int32)
    estimates = np.empty((panel, tiles * width), np.float32)
    peaks = np.empty((panel, 16), np.float32)  # each lane's largest estimate
    own = np.empty(panel, np.int64)
    for first in range(0, n, panel):
        here = min(panel, n - first)
        for i in range(here):
            for d in range(dim):
                rows[i, d] = q[first + i, d] + offset
            square = np.int32(0)
            for d in range(dim):
                x = np.int32(q[first + i, d])
                square = np.int32(square + x * x)
            own[i] = square
        peaks[:] = -np.inf
        for t in range(tiles):
            for i in range(0, here, TILE_ROWS):
                tile(table, t, rows, i, dots, estimates, peaks)
        for i in range(here):
            best, value = best_of(dots[i], roots, estimates, i, tiles * width, largest_of_16(peaks, i))
            winner[first + i] = best
            score[first + i] = np.float32(value / np.sqrt(np.float64(max(own[i], 1))))
            state[first + i] = _state(dots[i, best], own[i], squares[best], rho)


@compiled
def choose(
    dots: Any, roots: Any, inverse: Any, squares: Any, own: Any, rho: Any, winner: Any, score: Any, state: Any
) -> Any:
    """The same for products dots (B, J) that are there already. own (B,), squares (J,): of rows and prototypes."""
    used = roots.shape[0]
    estimates = np.full((1, (used + 63) // 64 * 64), -np.inf, np.float32)
    for i in range(dots.shape[0]):
        top = estimate_all(dots[i], inverse, estimates[0])
        best, value = best_of(dots[i], roots, estimates, 0, used, top)
        winner[i] = best
        score[i] = np.float32(value / np.sqrt(np.float64(max(own[i], 1))))
        state[i] = _state(dots[i, best], own[i], squares[best], rho)


@inlined  # type: ignore[untyped-decorator]
def _state(dot: Any, own: Any, square: Any, rho: Any) -> Any:
    if own == 0:
        return NO_DIRECTION
    return REACHES if np.float64(dot) >= rho * np.sqrt(np.float64(own) * np.float64(square)) else BELOW


@compiled
def _reaches(q: Any, p: Any, winner: Any, rho: Any, out: Any) -> Any:
    for i in range(q.shape[0]):
        dot, own, other = np.int64(0), np.int64(0), np.int64(0)
        for d in range(q.shape[1]):
            x, y = np.int64(q[i, d]), np.int64(p[winner[i], d])
            dot += x * y
            own += x * x
            other += y * y
        out[i] = np.float64(dot) >= rho * np.sqrt(np.float64(own) * np.float64(other))


# The largest of numbers that are never NaN does not depend on the order: here the compiler may take vectors.
@numba.njit(nogil=True, error_model="numpy", fastmath={"nnan", "nsz"})  # type: ignore[untyped-decorator]
def estimate_all(dots: Any, inverse: Any, estimates: Any) -> Any:
    """Write float32(dots) * inverse to the estimates; returns the largest. inverse (J,) tells how many."""
    top = np.float32(-np.inf)
    for j in range(inverse.shape[0]):
        estimate = np.float32(dots[j]) * inverse[j]
        estimates[j] = estimate
        top = estimate if estimate > top else top
    return top


@inlined  # type: ignore[untyped-decorator]
def best_of(dots: Any, roots: Any, estimates: Any, i: Any, used: Any, top: Any) -> Any:
    """Where dots / roots is largest (the highest index on ties), and its value.

    estimates[i] has `used` estimates of the values, padded with -inf to a multiple of 64; top is the largest. Nearly
    always one alone is near it, and then no branch depends on where it stands.
    """
    least = top - abs(top) * _SLACK
    best, near = 0, 0
    for first in range(0, used, 64):
        bits = reaching(estimates, i, first, least)
        near += ones(bits)
        best = first + lowest_bit(bits) if bits else best
    if near == 1:
        return best, np.float64(dots[best]) / roots[best]
    best_value = -np.inf
    for first in range(0, used, 64):
        bits = reaching(estimates, i, first, least)
        while bits:
            j = first + lowest_bit(bits)
            bits &= bits - np.uint64(1)
            value = np.float64(dots[j]) / roots[j]
            if value >= best_value:
                best, best_value = j, value
    return best, best_value
