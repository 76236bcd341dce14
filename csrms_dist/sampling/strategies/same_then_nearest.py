"""Negatives from the anchor's own pattern, filled up from the nearest ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from csrms_dist.basics.arrays import I64, Floats
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.strategies.lookups import ranked_size
from csrms_dist.sampling.strategies.other_classes import Visit, in_own_pattern, visit_patterns
from csrms_dist.sampling.strategies.strategy import Piece, Queries


def same_then_nearest(graph: HierarchyGraph, features: Floats, queries: Queries, m: int, pool: int) -> Iterator[Piece]:
    """Other-class members of the anchor's own pattern, nearest first, at most max(pool, m) of them, with priority 1.

    An anchor with fewer than m is filled up to m, with priority 0, from the nearest pattern that a class other than the
    anchor's dominates (distance to the pattern's mean), nearest members first, then from the next nearest; after those
    from the nearest patterns that hold other-class members at all. So it is empty only when there is no other class.
    Of more than RANKED rows of a pattern that may be chosen, those of smallest hash are ranked.
    """
    missing, size = np.full(len(queries.rows), m, dtype=np.int64), ranked_size(m, pool)

    def lower(block: I64, n: I64) -> None:
        missing[block] -= n

    for piece in in_own_pattern(graph, features, queries, max(pool, m), size):
        np.subtract.at(missing, piece.query, 1)
        yield piece
    yield from visit_patterns(graph, features, queries, Visit(missing, size), lower, own=False)
