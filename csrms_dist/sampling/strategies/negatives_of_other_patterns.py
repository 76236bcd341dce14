"""Negatives drawn from the patterns that the anchor is not in."""

from __future__ import annotations

from collections.abc import Iterator

from csrms_dist.basics.arrays import Floats
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.strategies.draws import of_other_classes
from csrms_dist.sampling.strategies.strategy import Piece, Queries


def negatives_of_other_patterns(
    graph: HierarchyGraph, features: Floats, queries: Queries, m: int, pool: int
) -> Iterator[Piece]:
    """OC-nega of Table 4: at most max(pool, m) images that share no label with the anchor and lie in other patterns.

    They are drawn uniformly. None when all images of other classes lie in the anchor's own pattern.
    """
    yield from of_other_classes(graph, queries, max(pool, m), avoid_own=True)
