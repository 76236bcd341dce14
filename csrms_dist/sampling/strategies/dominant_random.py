"""Positives drawn from the members of the class in its largest dominated pattern, near or far."""

from __future__ import annotations

from collections.abc import Iterator

from csrms_dist.basics.arrays import Floats
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.strategies.class_members import weighted_by_labels
from csrms_dist.sampling.strategies.draws import of_same_class
from csrms_dist.sampling.strategies.strategy import Piece, Queries


def dominant_random(graph: HierarchyGraph, features: Floats, queries: Queries, n: int, pool: int) -> Iterator[Piece]:
    """The pattern of eq. 5 without its distance, as the released code has it.

    At most max(pool, n) members of the anchor's class in the largest pattern that its class dominates, drawn uniformly.
    With several labels: members of the union over them.
    """
    for piece in of_same_class(graph, queries, max(pool, n), only=queries.lookups.chosen):
        yield weighted_by_labels(graph, queries, piece)
