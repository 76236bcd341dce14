"""Learning of spherical ART, batch by batch with matrix products, and equal to learning row by row.

The categories change with every row, but their dot products need not be computed again. For a batch of B rows q_i and
the J categories s_j as they are before it, two matrix products give everything::

    D = Q S^T  (B, J)          G = Q Q^T  (B, B)

When row a joins category j, s_j grows by q_a, so the dot product of a later row i with it grows by G[i, a]; a new
category is the sum of its members so far, which starts at zero. Before its turn, row i therefore sees::

    q_i . s_j = D[i, j] + sum of G[i, a] over the earlier rows a of the batch that joined j

For integers this is exact: the products run in float64 on whole numbers, and |q| |s| < 2^53 bounds every partial sum
in whatever order the library adds (Cauchy-Schwarz). A batch that breaks the bound, such as sums of many rows that are
merged, is computed with int64 loops.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from csrms_dist.art.spherical.int8_products import best_of, estimate_all
from csrms_dist.art.spherical.vector_code import inlined
from csrms_dist.basics.compiling import compiled

#: Rows of a batch.
BATCH = 64


@compiled
def spherical_learn(v: Any, m: Any, rho: Any, sums: Any, counts: Any, rows: Any, limit: Any, labels: Any) -> Any:
    """ART 2-A over inputs v (N, D) of weights m (N,), as if one at a time, starting from categories (J, D), (J,).

    rows: (B, D) scratch, whose type is the products' type. limit: what |v| |s| must stay below for the products to be
    exact. labels: (N,) int32, takes the category that each row joined, -1 for a row of zeros. Returns the categories.
    """
    n, dim = v.shape
    batch = rows.shape[0]
    used = sums.shape[0]
    capacity = (2 * used + batch + 63) // 64 * 64
    s, c = np.zeros((capacity, dim), sums.dtype), np.zeros(capacity, np.int64)
    near = np.zeros((capacity, dim), rows.dtype)  # s in the products' type
    squares, roots = np.zeros(capacity, sums.dtype), np.ones(capacity, np.float64)
    inverse = np.ones(capacity, np.float32)
    own, dot = np.zeros(batch, sums.dtype), np.zeros(1, sums.dtype)
    line, estimates = np.zeros(capacity, np.float64), np.full((1, capacity), -np.inf, np.float32)
    for j in range(used):
        s[j], near[j], c[j] = sums[j], sums[j], counts[j]
        for d in range(dim):
            squares[j] += s[j, d] * s[j, d]
        roots[j] = np.sqrt(np.float64(squares[j]))
        inverse[j] = 1 / roots[j]
    for first in range(0, n, batch):
        here = min(batch, n - first)
        if used + here > capacity:
            capacity = (2 * capacity + batch + 63) // 64 * 64
            s, near, c = _grown(s, capacity), _grown(near, capacity), _grown(c, capacity)
            squares, roots, inverse = _grown(squares, capacity), _grown(roots, capacity), _grown(inverse, capacity)
            line, estimates = np.zeros(capacity, np.float64), np.full((1, capacity), -np.inf, np.float32)
        longest, total = 0.0, 0.0
        for i in range(here):
            own[i] = 0
            for d in range(dim):
                dot[0] = v[first + i, d]
                own[i] += dot[0] * dot[0]
                rows[i, d] = v[first + i, d]
            length = np.sqrt(np.float64(own[i]))
            longest, total = max(longest, length), total + length
        far = 0.0
        for j in range(used):
            far = max(far, roots[j])
        exact = longest * (far + total) < limit
        known = used if exact else 0
        dots = np.dot(rows[:here], near[:known].T) if known else np.zeros((here, 0), rows.dtype)
        gram = np.dot(rows[:here], rows[:here].T) if exact else np.zeros((0, 0), rows.dtype)
        for i in range(here):
            labels[first + i] = -1
            if own[i] == 0:  # no direction: learns nothing
                continue
            if exact:
                line[:known] = dots[i]
                line[known:used] = 0
                for a in range(i):
                    j = labels[first + a]
                    if j >= 0:
                        line[j] += gram[i, a]
            else:
                for j in range(used):
                    dot[0] = 0
                    for d in range(dim):
                        dot[0] += v[first + i, d] * s[j, d]
                    line[j] = dot[0]
            best = -1
            if used > 0:
                top = estimate_all(line, inverse[:used], estimates[0])
                best, _ = best_of(line, roots, estimates, 0, used, top)
                dot[0] = line[best]
                if not exact:
                    dot[0] = 0
                    for d in range(dim):
                        dot[0] += v[first + i, d] * s[best, d]
                if np.float64(dot[0]) < rho * np.sqrt(np.float64(own[i]) * np.float64(squares[best])):
                    best = -1
            if best < 0:
                best = used
                used += 1
                dot[0] = 0
            for d in range(dim):
                s[best, d] += v[first + i, d]
            c[best] += m[first + i]
            squares[best] += 2 * dot[0] + own[i]
            roots[best] = np.sqrt(np.float64(squares[best]))
            inverse[best] = 1 / roots[best]
            labels[first + i] = best
        for i in range(here):
            j = labels[first + i]
            if j >= 0:
                near[j] = s[j]
    return s[:used].copy(), c[:used].copy()


# Floats are not promised to be the same everywhere: here the compiler may sum in any order.
@numba.njit(nogil=True, error_model="numpy", fastmath={"reassoc", "nsz"})  # type: ignore[untyped-decorator]
def unit(x: Any, out: Any) -> Any:
    """Rows of x (N, D) at length 1 -> out (N, D) float32; zeros stay. Returns the first row that is not finite, or -1.

    Where squares could overflow or vanish, the largest value is divided out first.
    """
    for i in range(x.shape[0]):
        scale, total = 1.0, 0.0
        for d in range(x.shape[1]):
            value = np.float64(x[i, d])
            total += value * value
        if not 1e-200 < total < 1e200:
            largest = 0.0
            for d in range(x.shape[1]):
                largest = max(largest, abs(np.float64(x[i, d])))
            scale, total = (1 / largest if largest >= 1e-300 else 1e300), 0.0
            for d in range(x.shape[1]):
                value = np.float64(x[i, d]) * scale
                total += value * value
            if not total < np.inf:  # NaN too; np.isfinite tests x - x, which reordering makes zero
                return i
        scale = scale / np.sqrt(total) if total > 0 else 0.0
        for d in range(x.shape[1]):
            out[i, d] = np.float64(x[i, d]) * scale
    return -1


@compiled
def nearest(cosines: Any, units: Any, rho: Any, winner: Any) -> Any:
    """argmax_j of cosines (J, B), ties to the highest index -> winner (B,); -1 below rho and for units (B, D) of zeros.

    The inner loops run over the rows, with a largest for each, so that the compiler takes vectors.
    """
    largest = np.full(winner.shape[0], -np.inf, np.float32)
    for j in range(cosines.shape[0]):
        for i in range(winner.shape[0]):
            reached = cosines[j, i] >= largest[i]
            largest[i] = cosines[j, i] if reached else largest[i]
            winner[i] = np.int32(j) if reached else winner[i]
    for i in range(winner.shape[0]):
        # A row of zeros has cosines of zero alone: only then is it worth a look at the row.
        if np.float64(largest[i]) < rho or (largest[i] == 0 and not units[i].any()):
            winner[i] = -1


@inlined  # type: ignore[untyped-decorator]
def _grown(x: Any, capacity: Any) -> Any:
    """x with room for more rows."""
    out = np.zeros((capacity, *x.shape[1:]), x.dtype)
    out[: len(x)] = x
    return out
