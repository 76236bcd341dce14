"""Negatives from the anchor's own pattern alone."""

from __future__ import annotations

from collections.abc import Iterator

from csrms_dist.basics.arrays import Floats
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.strategies.lookups import ranked_size
from csrms_dist.sampling.strategies.other_classes import in_own_pattern
from csrms_dist.sampling.strategies.strategy import Piece, Queries


def same_pattern(graph: HierarchyGraph, features: Floats, queries: Queries, m: int, pool: int) -> Iterator[Piece]:
    """SC-nega of Table 4: other-class members of the anchor's own pattern, nearest first, at most max(pool, m).

    None in a pattern all of whose members share a label with the anchor. Of more than RANKED rows of a pattern that may
    be chosen, those of smallest hash are ranked.
    """
    yield from in_own_pattern(graph, features, queries, max(pool, m), ranked_size(m, pool))
