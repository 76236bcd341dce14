"""The compiled loops of both ART learners. Plain order of operations: no fastmath, no fused multiply-add, no threads.

Every sum runs in index order and every comparison is written out, so a kernel gives the same bits as the loops of the
published algorithm and the same bits on every machine. Callers check shapes, types and bounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from csrms_dist.compiling import compiled


@compiled
def spherical_learn(v: Any, m: Any, rho: Any, sums: Any, counts: Any) -> Any:
    """ART 2-A over inputs v (N, D) of weights m (N,), one at a time, starting from categories (J, D), (J,)."""
    n, dim = v.shape
    used = sums.shape[0]
    capacity = max(64, 2 * used)
    s = np.zeros((capacity, dim), np.int64)
    c = np.zeros(capacity, np.int64)
    squares = np.zeros(capacity, np.int64)
    roots = np.zeros(capacity, np.float64)
    row = np.zeros(dim, np.int64)
    for j in range(used):
        c[j] = counts[j]
        for d in range(dim):
            s[j, d] = sums[j, d]
            squares[j] += sums[j, d] * sums[j, d]
        roots[j] = np.sqrt(np.float64(squares[j]))
    for i in range(n):
        square = np.int64(0)
        for d in range(dim):
            row[d] = v[i, d]
            square += row[d] * row[d]
        if square == 0:  # no direction: learns nothing
            continue
        best, best_value, best_dot = -1, -np.inf, np.int64(0)
        for j in range(used):
            dot = np.int64(0)
            for d in range(dim):
                dot += row[d] * s[j, d]
            value = np.float64(dot) / roots[j]
            if value >= best_value:
                best, best_value, best_dot = j, value, dot
        if best >= 0 and np.float64(best_dot) >= rho * np.sqrt(np.float64(square) * np.float64(squares[best])):
            for d in range(dim):
                s[best, d] += row[d]
            c[best] += m[i]
            squares[best] += 2 * best_dot + square
            roots[best] = np.sqrt(np.float64(squares[best]))
            continue
        if used == capacity:
            capacity *= 2
            s2 = np.zeros((capacity, dim), np.int64)
            s2[:used] = s
            c2 = np.zeros(capacity, np.int64)
            c2[:used] = c
            squares2 = np.zeros(capacity, np.int64)
            squares2[:used] = squares
            roots2 = np.zeros(capacity, np.float64)
            roots2[:used] = roots
            s, c, squares, roots = s2, c2, squares2, roots2
        for d in range(dim):
            s[used, d] = row[d]
        c[used] = m[i]
        squares[used] = square
        roots[used] = np.sqrt(np.float64(square))
        used += 1
    return s[:used].copy(), c[:used].copy()


@compiled
def _best(dots: Any, n: Any, roots: Any) -> Any:
    """The largest of the first n dots / roots, and where it stands (the highest index on ties; -1 for none).

    Divisions are slow, and nearly all are for nothing: sixteen categories at a time are passed over when none of them
    can reach the best so far. The slack of 1e-12 is far above what the rounding of both sides can amount to.
    """
    best, best_value = -1, -np.inf
    for start in range(0, n, 16):
        stop = min(n, start + 16)
        bound = best_value - 1e-12 * abs(best_value) if best >= 0 else -np.inf
        some, lengths = dots[start:stop], roots[start:stop]  # indices from 0 on: the compiler then takes vectors
        near = 0
        for j in range(stop - start):
            near |= int(np.float64(some[j]) >= bound * lengths[j])
        if near:
            for j in range(stop - start):
                candidate = np.float64(some[j]) / lengths[j]
                if candidate >= best_value:
                    best, best_value = start + j, candidate
    return best, best_value


@compiled
def best_cosine(dots: Any, roots: Any, winner: Any, value: Any) -> Any:
    """For each row of dots (B, J), the category with the largest dots / roots; ties to the highest index."""
    for i in range(dots.shape[0]):
        winner[i], value[i] = _best(dots[i], dots.shape[1], roots)


@compiled
def add_members(q: Any, winner: Any, sums: Any) -> Any:
    """sums[winner[i]] += q[i], exactly; rows without a winner (-1) add nothing."""
    for i in range(q.shape[0]):
        j = winner[i]
        if j >= 0:
            for d in range(q.shape[1]):
                sums[j, d] += np.int64(q[i, d])


@compiled
def fuzzy_learn(codes: Any, sizes: Any, m: Any, rho: Any, choice: Any, beta: Any, weights: Any, counts: Any) -> Any:
    """Fuzzy ART over complement codes (N, 2D) of norms `sizes` and weights m, starting from boxes (J, 2D), (J,).

    The boxes lie transposed, (2D, J), so that the compiler can use vector instructions over the categories while each
    category's own sum still runs in index order.
    """
    n, width = codes.shape
    used = weights.shape[0]
    capacity = max(64, 2 * used)
    w = np.zeros((width, capacity), np.float64)
    c = np.zeros(capacity, np.int64)
    norms = np.zeros(capacity, np.float64)
    common = np.zeros(capacity, np.float64)
    labels = np.empty(n, np.int32)
    for j in range(used):
        c[j] = counts[j]
        total = 0.0
        for d in range(width):
            w[d, j] = weights[j, d]
            total += weights[j, d]
        norms[j] = total
    for i in range(n):
        for j in range(used):
            common[j] = 0.0
        for d in range(width):
            x = codes[i, d]
            for j in range(used):
                y = w[d, j]
                common[j] += x if x < y else y
        best, best_value = -1, -np.inf
        for j in range(used):
            if common[j] / sizes[i] >= rho:
                value = common[j] / (choice + norms[j])
                if value >= best_value:
                    best, best_value = j, value
        total = 0.0
        if best >= 0:
            for d in range(width):
                x = codes[i, d]
                y = w[d, best]
                new = beta * (x if x < y else y) + (1.0 - beta) * y
                w[d, best] = new
                total += new
        else:
            if used == capacity:
                capacity *= 2
                w2 = np.zeros((width, capacity), np.float64)
                w2[:, :used] = w
                c2 = np.zeros(capacity, np.int64)
                c2[:used] = c
                norms2 = np.zeros(capacity, np.float64)
                norms2[:used] = norms
                w, c, norms = w2, c2, norms2
                common = np.zeros(capacity, np.float64)
            best = used
            used += 1
            for d in range(width):
                w[d, best] = codes[i, d]
                total += codes[i, d]
        norms[best] = total
        c[best] += m[i]
        labels[i] = best
    return w[:, :used].T.copy(), c[:used].copy(), labels


@compiled
def fuzzy_assign(codes: Any, sizes: Any, rho: Any, choice: Any, w: Any, norms: Any, winner: Any, value: Any) -> Any:
    """Frozen boxes w (2D, J): the largest choice value among those that pass rho; ties to the highest index, else -1.

    Sixteen rows at a time, so that a line of w is read from the nearest cache; each sum is the same as row by row.
    """
    n, width = codes.shape
    used = w.shape[1]
    tile = 16
    common = np.empty((tile, used), np.float64)
    for start in range(0, n, tile):
        rows = min(tile, n - start)
        for r in range(rows):
            for j in range(used):
                common[r, j] = 0.0
        for d in range(width):
            for r in range(rows):
                x = codes[start + r, d]
                for j in range(used):
                    y = w[d, j]
                    common[r, j] += x if x < y else y
        for r in range(rows):
            best, best_value = -1, -np.inf
            for j in range(used):
                if common[r, j] / sizes[start + r] >= rho:
                    candidate = common[r, j] / (choice + norms[j])
                    if candidate >= best_value:
                        best, best_value = j, candidate
            winner[start + r] = best
            value[start + r] = best_value if best >= 0 else 0.0


@compiled
def ordered_sums(codes: Any, sizes: Any) -> Any:
    """The L1 norm of each non-negative row, summed in index order as the learner sums it."""
    for i in range(codes.shape[0]):
        total = 0.0
        for d in range(codes.shape[1]):
            total += codes[i, d]
        sizes[i] = total


@compiled
def project(x: Any, basis: Any, out: Any) -> Any:
    """out = x @ basis, each row by itself and in index order: its bits do not depend on the rows around it."""
    for i in range(x.shape[0]):
        for k in range(basis.shape[1]):
            out[i, k] = 0.0
        for d in range(x.shape[1]):
            value = x[i, d]
            for k in range(basis.shape[1]):
                out[i, k] += value * basis[d, k]
