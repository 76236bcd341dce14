"""Negatives drawn from all other classes."""

from __future__ import annotations

from collections.abc import Iterator

from csrms_dist.basics.arrays import Floats
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.strategies.draws import of_other_classes
from csrms_dist.sampling.strategies.strategy import Piece, Queries


def random_other_class(graph: HierarchyGraph, features: Floats, queries: Queries, m: int, pool: int) -> Iterator[Piece]:
    """Random-nega of Table 4: at most max(pool, m) images that share no label with the anchor, drawn uniformly."""
    yield from of_other_classes(graph, queries, max(pool, m))
