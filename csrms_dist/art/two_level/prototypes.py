"""Frozen prototypes: their order, their numbers, and which of them stay."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from csrms_dist.basics.arrays import I32, I64, Bools, Matrix

MOST_TURNS = 100  # of k-means, should it not come to rest before


def canonical_order(prototypes: Matrix) -> I64:
    """The order by raw bytes in which assignments see prototypes, so that ties do not depend on their numbering."""
    keys: Sequence[bytes] = [row.tobytes() for row in prototypes]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)


def canonical(prototypes: Matrix) -> Matrix:
    """The distinct prototypes in canonical order."""
    ordered = np.ascontiguousarray(prototypes[canonical_order(prototypes)])
    distinct = np.ones(len(ordered), np.bool_)
    distinct[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return ordered[distinct]


def first_distinct(rows: Matrix, n: int) -> Matrix:
    """The first n distinct rows that are not zero, in canonical order."""
    some = np.asarray(rows)[np.asarray(rows).any(axis=1)]
    _, first = np.unique(some, axis=0, return_index=True)
    return canonical(some[np.sort(first)[:n]])


def shared_out(n: int, sizes: I64) -> I64:
    """n pieces for patterns of these sizes (J,), at least one each, so that the smallest pieces are as large as can be.

    One after the other goes to the pattern with the most rows a piece after it (D'Hondt); J <= n.

    >>> shared_out(6, np.array([50, 20, 1]))
    array([4, 1, 1])
    """
    pieces = np.ones(len(sizes), np.int64)
    largest = [(-size / 2, j) for j, size in enumerate(sizes.tolist())]
    heapq.heapify(largest)
    for _ in range(n - len(sizes)):
        j = largest[0][1]
        pieces[j] += 1
        heapq.heapreplace(largest, (-int(sizes[j]) / (int(pieces[j]) + 1), j))
    return pieces


def surviving(sizes: I64, min_size: int) -> Bools:
    """Which prototypes (J,) have at least min_size rows; the largest (lowest index) if none has."""
    kept: Bools = sizes >= min_size
    if len(sizes) and not kept.any():
        kept[np.argmax(sizes)] = True
    return kept


def numbering(prototypes: Matrix, sizes: I64) -> tuple[I64, I32]:
    """By (size descending, prototype lexicographically), those without rows left out: (order (J',), number (J,))."""
    order = np.lexsort((*prototypes.T[::-1], -sizes))
    order = order[sizes[order] > 0] if sizes.any() else order[:1]
    number = np.full(len(prototypes), -1, np.int32)
    number[order] = np.arange(len(order))
    return order, number
