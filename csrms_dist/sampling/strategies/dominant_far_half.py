"""Positives from the far half of the class's members in its largest dominated pattern."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from csrms_dist.basics.arrays import Floats
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.distances import EXCLUDED
from csrms_dist.sampling.strategies.class_members import class_members, weighted_by_labels
from csrms_dist.sampling.strategies.kernels import hash_rows
from csrms_dist.sampling.strategies.lookups import ranked_size
from csrms_dist.sampling.strategies.strategy import Piece, Queries, piece_of

_CAP = np.uint64(0x706F6F6C)
"""Keeps the hash that caps a far half apart from the hashes that draw."""


def dominant_far_half(graph: HierarchyGraph, features: Floats, queries: Queries, n: int, pool: int) -> Iterator[Piece]:
    """The far half (rounded up) of the members that eq. 5 chooses from (DC-posi), so that every epoch can draw anew.

    Where these are the anchor alone, the far half of all other rows that share a label with it: so it is empty only
    when there is no other. Of more than RANKED members those of smallest hash are ranked.

    Of a half with more than max(pool, n) rows those with the largest hash of (anchor's row, candidate's row) stay, not
    the farthest: the pool is a uniform sample of the half. Anchors that are no rows share the hash of row -1.
    """
    limit = max(pool, n)
    for block, target, keys, available in class_members(features, queries, ranked_size(n, pool), never_empty=True):
        half = (available + 1) // 2
        widest = int(half.max(initial=0))
        if widest < keys.shape[1]:
            keys.partition(np.unique(half[half < keys.shape[1]]), axis=1)  # no need to sort what is capped below
        if widest > limit:  # so is the half of each, which is at most one less wide
            hashes = np.zeros((len(keys), widest), dtype=np.uint64)
            hash_rows(keys, half, queries.rows[block], target.rows, _CAP, hashes)
            least = np.partition(hashes, widest - limit, axis=1)[:, widest - limit, None]
            far = keys[:, :widest][hashes >= least].reshape(len(keys), limit)
        else:
            far = keys[:, :widest]
            far[np.arange(widest) >= half[:, None]] = EXCLUDED
        yield weighted_by_labels(graph, queries, piece_of(block, target.rows, np.sort(far, axis=1), 1))
