"""The port of a strategy: the anchors that it is asked about, and the pieces of a candidate list that it yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from csrms_dist.basics.arrays import F32, F64, I32, I64, Bools, Floats
from csrms_dist.basics.lookup import Kind, takes
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import Membership
from csrms_dist.sampling.distances import EXCLUDED, positions
from csrms_dist.sampling.strategies.lookups import Lookups


@dataclass(frozen=True, eq=False)
class Queries:
    """Q anchors: rows of the hierarchy, or vectors from elsewhere with given labels.

    vectors: (Q, D). membership: (Q, K). rows: (Q,) int64, -1 for an anchor that is no row. patterns: (Q,) int64.
    lookups: what is looked up in the hierarchy, and the distance of `sampling.distance`, which ranks.
    """

    vectors: Floats
    membership: Membership
    rows: I64
    patterns: I64
    lookups: Lookups

    def means(self) -> F64:
        """`pattern_means` of the hierarchy, a pass over all its rows that is made when first asked for."""
        return self.lookups.means


class Piece(NamedTuple):
    """Candidates in the strategy's order. query: (E,) int64, position. neighbour: (E,) int64, row. priority: of all.

    weight: (E,) float32, or None where every candidate weighs 1.
    """

    query: I64
    neighbour: I64
    priority: int
    weight: F32 | None = None


Strategy = Callable[[HierarchyGraph, Floats, Queries, int, int], Iterator[Piece]]
"""(graph, features (N, D), queries, size, pool) -> pieces; `size` is the n of eq. 5 or the m of eq. 6."""


def piece_of(block: I64, rows: I64, keys: I64, priority: int) -> Piece:
    """Anchors block (R,) and keys (R, k) that point into rows (M,) -> their piece; EXCLUDED keys are left out."""
    anchor, column = np.nonzero(keys != EXCLUDED)
    return Piece(block[anchor], rows[positions(keys[anchor, column])], priority)


def share_a_label(a: Membership, b: Membership) -> Bools:
    """Memberships (R, K) and (S, K) -> (R, S): whether the two have a label in common."""
    return labels_in_common(a, b) > 0


def labels_in_common(a: Membership, b: Membership) -> I32:
    """Memberships (R, K) and (S, K) -> (R, S): how many labels the two have in common."""
    return np.asarray((a.astype(np.int32) @ b.astype(np.int32).T).toarray())


KIND = Kind("a function of {} that takes (graph, features, queries, size, pool)", lambda value: takes(value, 5))
"""A strategy of a user's own."""
