"""Positives drawn from all of the class."""

from __future__ import annotations

from collections.abc import Iterator

from csrms_dist.basics.arrays import Floats
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.strategies.class_members import weighted_by_labels
from csrms_dist.sampling.strategies.draws import of_same_class
from csrms_dist.sampling.strategies.strategy import Piece, Queries


def random_of_class(graph: HierarchyGraph, features: Floats, queries: Queries, n: int, pool: int) -> Iterator[Piece]:
    """Random-posi of Table 4: at most max(pool, n) images that share a label with the anchor, drawn uniformly."""
    for piece in of_same_class(graph, queries, max(pool, n)):
        yield weighted_by_labels(graph, queries, piece)
