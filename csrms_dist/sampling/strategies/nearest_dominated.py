"""Negatives as the paper prints them: from the nearest pattern that another class dominates."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from csrms_dist.basics.arrays import I64, Floats
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.strategies.lookups import ranked_size
from csrms_dist.sampling.strategies.other_classes import Visit, visit_patterns
from csrms_dist.sampling.strategies.strategy import Piece, Queries


def nearest_dominated(graph: HierarchyGraph, features: Floats, queries: Queries, m: int, pool: int) -> Iterator[Piece]:
    """Eq. 6 as printed: Omega_nega = S_vp(I_i, phi(I_i, I_i^l), m).

    The m members nearest to the anchor in the nearest pattern (distance to its mean; the anchor's own pattern included)
    that a class other than the anchor's dominates. Its members here are those of a class that dominates it, and of
    these the ones that share no label with the anchor; with several labels an image may share one with all of them, and
    the next nearest pattern is taken. Fewer than m when the pattern has fewer; none when no other class dominates any.
    Of more than RANKED rows that may be chosen, those of smallest hash are ranked.
    """
    missing = np.full(len(queries.rows), m, dtype=np.int64)

    def stop(block: I64, n: I64) -> None:
        missing[block[n > 0]] = 0

    visit = Visit(missing, ranked_size(m, pool), dominant=True)
    yield from visit_patterns(graph, features, queries, visit, stop, own=True)
