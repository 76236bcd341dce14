"""The compiled loops of Fuzzy ART and of its adaptive vigilance, for bytes and for floats.

Both are fixed-point numbers, so that the norm |w| of a box is an exact number that no order of addition changes: bytes
stand for value / 255, floats are float32 multiples of 2^-24 (UNIT), and so is 1 - x.
What they share is written once: a table holds what `pairs` found between some rows and the categories, and `_common`
turns its cells into |I ^ w|, the L1 norm of the element-wise minimum:

    bytes:  (|I| + |w| - sum |I - w|) / 2, an integer     floats:  |w| - sum max(w - I, 0)

Decisions are taken in float64 and in index order. Rows are met BATCH at a time: the table is filled for all of them,
and after each row the one category that it changed is met again, which gives what one row at a time gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from csrms_dist.art.fuzzy.absolute_differences import GROUP, pairs
from csrms_dist.basics.compiling import compiled

BATCH = 16
UNIT = 2.0**24  # floats are multiples of 1 / UNIT
RESET, RAISE = 1, 2  # bits of the kind of adaptive vigilance: AM-ART resets, CM-ART raises
RESET_AND_RAISE = RESET | RAISE  # HI-ART
_SLACK = 1 - 1e-12  # far above what the rounding of one quotient and one product can amount to


def _for_type(stub: Any, position: int, of_bytes: Callable[..., Any], of_floats: Callable[..., Any]) -> None:
    """Inside compiled code, let `stub` stand for one of two functions, by the dtype of its argument at `position`."""

    def choose(*arguments: Any) -> Callable[..., Any]:
        return of_bytes if arguments[position].dtype in (types.uint8, types.int32) else of_floats

    overload(stub, strict=False)(choose)


def _encode(source: Any, points: Any, code: Any) -> Any:
    """Write the complement code [x, 1 - x] of a point, or a copy of a code, into `code`; returns its norm."""
    raise NotImplementedError


def _encode_bytes(source: Any, points: Any, code: Any) -> Any:
    dimension = source.shape[0]
    if points:
        first, second = code[:dimension], code[dimension : 2 * dimension]  # indices from 0 on: it then takes vectors
        for d in range(dimension):
            first[d] = source[d]
            second[d] = np.uint8(255) - source[d]
        return np.int64(255 * dimension)
    total = np.int32(0)
    for d in range(dimension):
        code[d] = source[d]
        total = np.int32(total + np.int32(source[d]))
    return np.int64(total)


def _encode_floats(source: Any, points: Any, code: Any) -> Any:
    unit, dimension = np.float32(1 / UNIT), source.shape[0]
    if points:
        first, second = code[:dimension], code[dimension : 2 * dimension]
        for d in range(dimension):
            x = np.rint(source[d] * np.float32(UNIT)) * unit
            first[d] = x
            second[d] = np.float32(1) - x
        return np.float64(dimension)
    total = np.int64(0)
    for d in range(dimension):
        x = np.rint(source[d] * np.float32(UNIT))
        code[d] = x * unit
        total += np.int32(x)
    return np.float64(total) / UNIT


_for_type(_encode, 0, _encode_bytes, _encode_floats)


def _join(row: Any, category: Any, rate: Any) -> Any:
    """Move a category towards its common part with the row; returns its new norm."""
    raise NotImplementedError


def _join_bytes(row: Any, category: Any, rate: Any) -> Any:
    beta = np.int32(np.rint(256.0 * rate))
    total = np.int32(0)
    for d in range(row.shape[0]):
        w = np.int32(category[d])
        excess = max(np.int32(w - np.int32(row[d])), np.int32(0))
        w = np.int32(w - np.int32(np.int32(beta * excess + np.int32(128)) >> np.int32(8)))
        category[d] = w
        total = np.int32(total + w)
    return np.int64(total)


def _join_floats(row: Any, category: Any, rate: Any) -> Any:
    beta = np.float32(rate)
    total = np.int64(0)
    for d in range(row.shape[0]):
        excess = max(category[d] - row[d], np.float32(0))
        less = np.rint(beta * excess * np.float32(UNIT)) * np.float32(1 / UNIT)
        category[d] -= less
        total += np.int32(category[d] * np.float32(UNIT))
    return np.float64(total) / UNIT


_for_type(_join, 0, _join_bytes, _join_floats)


def _common(cell: Any, size: Any, norm: Any, cells: Any) -> Any:
    """|I ^ w| from a cell of the table, the norm `size` of the row and the norm of the category."""
    raise NotImplementedError


def _common_bytes(cell: Any, size: Any, norm: Any, cells: Any) -> Any:
    return np.float64((size + norm - cell) >> 1)


def _common_floats(cell: Any, size: Any, norm: Any, cells: Any) -> Any:
    return max(norm - np.float64(cell), 0.0)  # the cell is a rounded sum


_for_type(_common, 3, _common_bytes, _common_floats)


@compiled
def _winner(
    cells: Any, size: Any, norms: Any, rho: Any, total: Any, choice: Any, first: Any, best: Any, top: Any
) -> Any:
    """The largest |I ^ w| / (choice + |w|) where |I ^ w| >= rho * total, and its index; ties to the highest.

    The categories are first, first + 1, ...; the best of those before them is `best` of value `top`, or -1 of value 0.
    Sixteen at a time are passed over when none of them passes rho and can reach the best so far: divisions are slow.
    """
    for start in range(0, cells.shape[0], 16):
        stop = min(start + 16, cells.shape[0])
        some, some_norms, some_rho = cells[start:stop], norms[start:stop], rho[start:stop]
        bound = top * _SLACK
        near = 0
        for j in range(stop - start):
            common = _common(some[j], size, some_norms[j], cells)
            near |= int((common >= some_rho[j] * total) & (common >= bound * (choice + some_norms[j])))
        if near:
            for j in range(stop - start):
                common = _common(some[j], size, some_norms[j], cells)
                if common >= some_rho[j] * total:
                    value = common / (choice + some_norms[j])
                    if value >= top:
                        best, top = first + start + j, value
    return best, top


@compiled
def _adapt(
    kind: Any, cells: Any, size: Any, norms: Any, rho: Any, total: Any, choice: Any, sigma: Any, delta: Any, values: Any
) -> Any:
    """The winner as `_winner` finds it, -1 for none, with the vigilances changed as `kind` says."""
    n = cells.shape[0]
    for j in range(n):
        values[j] = _common(cells[j], size, norms[j], cells) / (choice + norms[j])
    best, top = -1, -np.inf
    for j in range(n):
        if values[j] >= top and _common(cells[j], size, norms[j], cells) >= rho[j] * total:
            best, top = j, values[j]
    own = rho[best] if best >= 0 else 0.0
    if kind & RAISE and best >= 0:
        for j in range(n):
            common = _common(cells[j], size, norms[j], cells)
            if common >= rho[j] * total:
                rho[j] = min(common / total + delta, 1.0)
    if kind & RESET:
        for j in range(n):
            if values[j] >= top:
                rho[j] *= 1.0 - sigma
    if best >= 0:
        rho[best] = min(own * (1.0 + sigma), 1.0) if kind & RESET else own
    return best


@compiled
def learn(
    source: Any, points: Any, m: Any, kind: Any, start_rho: Any, total: Any, choice: Any, rate: Any, sigma: Any,
    delta: Any, used: Any, w: Any, norms: Any, counts: Any, rho: Any, rows: Any, table: Any, labels: Any, begin: Any,
) -> Any:  # fmt: skip
    """Learn source[begin:] (points, or codes) of weights m, changing the `used` categories w, norms, counts, rho.

    kind: 0 for a fixed vigilance, else bits of RESET and RAISE. total: what |I| counts as in the match. Returns the row
    that it came to, which is not the last one if the arrays may not hold a further batch, and the categories in use.
    """
    n = source.shape[0]
    sizes = np.empty(BATCH, norms.dtype)
    values = np.empty(w.shape[0] if kind else 0, np.float64)
    for start in range(begin, n, BATCH):
        height = min(BATCH, n - start)
        if used + height > w.shape[0]:
            return start, used
        for r in range(height):
            sizes[r] = _encode(source[start + r], points, rows[r])
        pairs(rows, height, w, 0, used, table)
        for r in range(height):
            cells = table[r, :used]
            if kind:
                best = _adapt(kind, cells, sizes[r], norms, rho, total, choice, sigma, delta, values)
            else:
                best = _winner(cells, sizes[r], norms, rho, total, choice, 0, -1, 0.0)[0]
            if best >= 0:
                norm = _join(rows[r], w[best], rate)
                changed = norm != norms[best]  # boxes only grow, so a norm that stays is a box that stays
                norms[best] = norm
            else:
                best, changed = used, True
                used += 1
                w[best] = rows[r]
                norms[best] = sizes[r]
                rho[best] = start_rho
            counts[best] += m[start + r]
            labels[start + r] = best
            if changed and r + 1 < height:
                group = (r + 1) // GROUP * GROUP  # what it writes into rows that are done already, nobody reads
                pairs(rows[group:], height - group, w, best, best + 1, table[group:])
    return n, used


@compiled
def norms_of(w: Any, norms: Any) -> Any:
    """The L1 norms of the categories."""
    for j in range(w.shape[0]):
        norms[j] = _encode(w[j], False, w[j])


@compiled
def assign(
    source: Any, points: Any, rho: Any, total: Any, choice: Any, w: Any, norms: Any, rows: Any, table: Any,
    winner: Any, value: Any,
) -> Any:  # fmt: skip
    """Frozen categories: each row's winner (-1: none passes) and its choice value (0), as many rows and categories at
    a time as `table` has."""
    n, n_categories = source.shape[0], rho.shape[0]
    sizes = np.empty(rows.shape[0], norms.dtype)
    for start in range(0, n, rows.shape[0]):
        height = min(rows.shape[0], n - start)
        for r in range(height):
            sizes[r] = _encode(source[start + r], points, rows[r])
            winner[start + r] = -1
            value[start + r] = 0.0
        for first in range(0, n_categories, table.shape[1]):
            last = min(first + table.shape[1], n_categories)
            for r in range(0, height, BATCH):  # so many stay in the nearest cache
                pairs(rows[r:], min(BATCH, height - r), w[first:], 0, last - first, table[r:])
            for r in range(height):
                i = start + r
                winner[i], value[i] = _winner(
                    table[r, : last - first], sizes[r], norms[first:], rho[first:], total, choice, first,
                    winner[i], value[i],
                )  # fmt: skip


@compiled
def common_of(source: Any, w: Any, norms: Any, rows: Any, table: Any, common: Any) -> Any:
    """|I ^ w_j| of every point with every category, (N, J) float64."""
    n, n_categories = common.shape
    for start in range(0, n, rows.shape[0]):
        height = min(rows.shape[0], n - start)
        for r in range(height):
            size = _encode(source[start + r], True, rows[r])
        pairs(rows, height, w, 0, n_categories, table)
        for r in range(height):
            for j in range(n_categories):
                common[start + r, j] = _common(table[r, j], size, norms[j], table)
