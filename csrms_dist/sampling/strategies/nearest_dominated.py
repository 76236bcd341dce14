"""Negatives as the paper prints them: from the nearest pattern that another class dominates."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from csrms_dist.basics.arrays import I64, Floats
from csrms_dist.hierarchy.dominance import dominators
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.distances import EXCLUDED
from csrms_dist.sampling.strategies.other_classes import visit_patterns
from csrms_dist.sampling.strategies.strategy import Piece, Queries, share_a_label


def nearest_dominated(graph: HierarchyGraph, features: Floats, queries: Queries, m: int, pool: int) -> Iterator[Piece]:
    """Eq. 6 as printed: Omega_nega = S_vp(I_i, phi(I_i, I_i^l), m).

    The m members nearest to the anchor in the nearest pattern (distance to its mean; the anchor's own pattern included)
    that a class other than the anchor's dominates. Its members here are those of a class that dominates it, and of
    these the ones that share no label with the anchor; with several labels an image may share one with all of them, and
    the next nearest pattern is taken. Fewer than m when the pattern has fewer; none when no other class dominates any.
    """
    missing = np.full(len(queries.rows), m, dtype=np.int64)
    dominating = dominators(graph)

    def members(pattern: int) -> I64:
        rows = graph.members(pattern)
        return rows[share_a_label(graph.membership[rows], dominating[[pattern]])[:, 0]]

    def first(block: I64, found: I64) -> None:
        missing[block[(found != EXCLUDED).any(axis=1)]] = 0

    yield from visit_patterns(graph, features, queries, missing, members, first, only_dominated=True)
