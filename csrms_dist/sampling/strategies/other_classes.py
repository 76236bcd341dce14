"""The rows of other classes that are nearest to an anchor: in a pattern, or pattern after pattern."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from csrms_dist.basics.arrays import I64, Floats
from csrms_dist.hierarchy.dominance import dominated_by_other, dominators
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.distances import (
    EXCLUDED,
    SECOND_CHOICE,
    Target,
    blocks,
    nearest_keys,
    normalised,
    positions,
    smallest,
    squared_distances,
)
from csrms_dist.sampling.strategies.strategy import Piece, Queries, piece_of, share_a_label


def visit_patterns(
    graph: HierarchyGraph,
    features: Floats,
    queries: Queries,
    missing: I64,
    members: Callable[[int], I64],
    account: Callable[[I64, I64], None],
    *,
    only_dominated: bool,
) -> Iterator[Piece]:
    """Go through the patterns, nearest mean first, until no anchor misses anything.

    missing: (Q,) int64, how many rows each anchor still wants.
    members: the rows of a pattern that may be taken.
    account: is told (positions (R,), keys (R, k)) of what was found, and lowers `missing`.
    only_dominated: leave out patterns that no class other than the anchor's dominates; else they come last, and the
    anchor's own pattern is left out.
    """
    needy = np.flatnonzero(missing > 0)
    if not len(needy):
        return
    means, dominating = queries.means(), dominators(graph)
    for part in blocks(len(needy), graph.n_patterns):
        block = needy[part]
        keys = nearest_keys(squared_distances(normalised(queries.vectors[block]), means))
        other = dominated_by_other(dominating, queries.membership[block])
        if only_dominated:
            keys[~other] = EXCLUDED
        else:
            keys[~other] += SECOND_CHOICE
            keys[np.arange(len(block)), queries.patterns[block]] = EXCLUDED
        keys[:, graph.sizes == 0] = EXCLUDED
        keys.sort(axis=1)
        for turn in range(graph.n_patterns):
            alive = (missing[block] > 0) & (keys[:, turn] != EXCLUDED)
            if not alive.any():
                break
            left, pattern = block[alive], positions(keys[alive, turn])
            order = np.argsort(pattern, kind="stable")
            used, starts = np.unique(pattern[order], return_index=True)
            for k, group in zip(used.tolist(), np.split(left[order], starts[1:]), strict=True):
                target = Target(features, members(k))
                for some, found in nearest_others(graph, queries, target, group, int(missing[group].max())):
                    found[np.arange(found.shape[1]) >= missing[some][:, None]] = EXCLUDED
                    account(some, found)
                    yield piece_of(some, target.rows, found, 0)


def nearest_others(
    graph: HierarchyGraph, queries: Queries, target: Target, group: I64, k: int
) -> Iterator[tuple[I64, I64]]:
    """Blocks (positions (R,), keys (R, <= k)) of the k nearest rows of `target` that share no label with the anchor."""
    theirs = graph.membership[target.rows]
    for part in blocks(len(group), len(target.rows)):
        block = group[part]
        keys = target.nearest(normalised(queries.vectors[block]))
        keys[share_a_label(queries.membership[block], theirs)] = EXCLUDED
        target.exclude(keys, queries.rows[block])
        yield block, smallest(keys, k)
