"""Positives as the paper prints them: the farthest members of the class in its largest dominated pattern."""

from __future__ import annotations

from collections.abc import Iterator

from csrms_dist.basics.arrays import Floats
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.distances import smallest
from csrms_dist.sampling.strategies.class_members import class_members, weighted_by_labels
from csrms_dist.sampling.strategies.lookups import ranked_size
from csrms_dist.sampling.strategies.strategy import Piece, Queries, piece_of


def dominant_far(graph: HierarchyGraph, features: Floats, queries: Queries, n: int, pool: int) -> Iterator[Piece]:
    """Eq. 5 as printed: Omega_posi = S_dp(I_i, phi(I_i, I_i^j), n).

    The n members of the anchor's class that are farthest from it in the largest pattern that its class dominates. It
    is DC-posi of Table 4. Of more than RANKED members those of smallest hash are ranked.
    """
    for block, target, keys, _ in class_members(features, queries, ranked_size(n, pool)):
        yield weighted_by_labels(graph, queries, piece_of(block, target.rows, smallest(keys, n), 1))
