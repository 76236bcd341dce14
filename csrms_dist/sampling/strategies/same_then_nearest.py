"""Negatives from the anchor's own pattern, filled up from the nearest ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from csrms_dist.basics.arrays import I64, Floats
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.distances import EXCLUDED, Target
from csrms_dist.sampling.strategies.other_classes import nearest_others, visit_patterns
from csrms_dist.sampling.strategies.strategy import Piece, Queries, piece_of


def same_then_nearest(graph: HierarchyGraph, features: Floats, queries: Queries, m: int, pool: int) -> Iterator[Piece]:
    """Other-class members of the anchor's own pattern, nearest first, at most max(pool, m) of them, with priority 1.

    An anchor with fewer than m is filled up to m, with priority 0, from the nearest pattern that a class other than the
    anchor's dominates (distance to the pattern's mean), nearest members first, then from the next nearest; after those
    from the nearest patterns that hold other-class members at all. So it is empty only when there is no other class.
    """
    missing = np.full(len(queries.rows), m, dtype=np.int64)
    order = np.argsort(queries.patterns, kind="stable")
    used, starts = np.unique(queries.patterns[order], return_index=True)
    for pattern, group in zip(used.tolist(), np.split(order, starts[1:]), strict=True):
        target = Target(features, graph.members(pattern))
        for block, found in nearest_others(graph, queries, target, group, max(pool, m)):
            missing[block] -= (found != EXCLUDED).sum(axis=1)
            yield piece_of(block, target.rows, found, 1)

    def fill(block: I64, found: I64) -> None:
        missing[block] -= (found != EXCLUDED).sum(axis=1)

    yield from visit_patterns(graph, features, queries, missing, graph.members, fill, only_dominated=False)
