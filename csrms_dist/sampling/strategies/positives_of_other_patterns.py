"""Positives drawn from the patterns that the anchor is not in."""

from __future__ import annotations

from collections.abc import Iterator

from csrms_dist.basics.arrays import Floats
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.strategies.class_members import weighted_by_labels
from csrms_dist.sampling.strategies.draws import of_same_class
from csrms_dist.sampling.strategies.strategy import Piece, Queries


def positives_of_other_patterns(
    graph: HierarchyGraph, features: Floats, queries: Queries, n: int, pool: int
) -> Iterator[Piece]:
    """OC-posi of Table 4: at most max(pool, n) images that share a label with the anchor (eq. 1 without dominance).

    They lie in patterns other than the anchor's own, and are drawn uniformly. None when all of the class lie in it.
    """
    for piece in of_same_class(graph, queries, max(pool, n), avoid_own=True):
        yield weighted_by_labels(graph, queries, piece)
