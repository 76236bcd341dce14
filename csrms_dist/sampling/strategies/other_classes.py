"""The rows of other classes that are nearest to an anchor: in a pattern, or pattern after pattern."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from csrms_dist.basics.arrays import I64, Floats
from csrms_dist.hierarchy.csr import stored_rows
from csrms_dist.hierarchy.dominance import dominated_by_other
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import Membership
from csrms_dist.sampling.distances import (
    EXCLUDED,
    SECOND_CHOICE,
    Target,
    blocks,
    distances,
    nearest_keys,
    positions,
    smallest,
)
from csrms_dist.sampling.strategies.kernels import exclude_relatives
from csrms_dist.sampling.strategies.strategy import Piece, Queries, piece_of

_NEAREST = 16
"""Patterns that are put in order before all of them are: few anchors look at more."""


class Visit(NamedTuple):
    """How patterns are searched.

    missing: (Q,) int64, how many rows each anchor still wants; lowered by what is found.
    size: of more rows than this that may be chosen, those of smallest hash are ranked.
    dominant: look at nothing but rows of a class that dominates their pattern, in patterns that a class other than the
    anchor's dominates. Else these patterns come first, then all others.
    """

    missing: I64
    size: int
    dominant: bool = False


def visit_patterns(
    graph: HierarchyGraph,
    features: Floats,
    queries: Queries,
    visit: Visit,
    found: Callable[[I64, I64], None],
    *,
    own: bool,
) -> Iterator[Piece]:
    """Go through the patterns, nearest mean first, until no anchor misses anything.

    found: is told (positions (R,), number of rows found (R,)), and lowers `visit.missing`.
    own: whether the anchor's own pattern is one of them.
    """
    needy, start, stop = np.flatnonzero(visit.missing > 0), 0, min(_NEAREST, graph.n_patterns)
    while len(needy) and start < stop:
        for part in blocks(len(needy), stop - start):
            block = needy[part]
            order = _nearest_patterns(graph, queries, block, start, stop, visit.dominant, own)
            for turn in range(stop - start):
                alive = (visit.missing[block] > 0) & (order[:, turn] >= 0)
                if not alive.any():
                    break
                for pattern, group in _by_value(order[alive, turn], block[alive]):
                    for some, rows, keys in nearest_others(graph, features, queries, visit, pattern, group):
                        found(some, (keys != EXCLUDED).sum(axis=1))
                        yield piece_of(some, rows, keys, 0)
        needy, start, stop = needy[visit.missing[needy] > 0], stop, graph.n_patterns


def _nearest_patterns(
    graph: HierarchyGraph, queries: Queries, block: I64, start: int, stop: int, dominant: bool, own: bool
) -> I64:
    """Anchors (R,) -> (R, stop - start) int64: patterns in the order in which they are visited; -1 where none is left.

    Left out are empty patterns, and those of which every row shares a label with the anchor.
    """
    lookups = queries.lookups
    order = np.empty((len(block), stop - start), dtype=np.int64)
    for part in blocks(len(block), graph.n_patterns):
        anchors, labels = block[part], queries.membership[block[part]].astype(np.int32)
        keys = nearest_keys(
            distances(lookups.distance.prepared(queries.vectors[anchors]), lookups.means, lookups.distance)
        )
        other = dominated_by_other(lookups.dominating, labels)
        if dominant:
            keys[~other] = EXCLUDED
        else:
            keys[~other] += SECOND_CHOICE
        if not own:
            keys[np.arange(len(anchors)), queries.patterns[anchors]] = EXCLUDED
        keys[:, graph.sizes == 0] = EXCLUDED
        keys[(labels @ lookups.carried_by_all.T).nonzero()] = EXCLUDED
        keys = smallest(keys, stop)[:, start:]
        order[part] = np.where(keys == EXCLUDED, -1, positions(keys))
    return order


def nearest_others(
    graph: HierarchyGraph,
    features: Floats,
    queries: Queries,
    visit: Visit,
    pattern: int,
    group: I64,
    without: tuple[int, ...] = (),
) -> Iterator[tuple[I64, I64, I64]]:
    """The nearest rows of a pattern that share no label with the anchor: (positions (R,), rows (M,), keys (R, k)).

    Each anchor of `group` gets at most what it misses. Where a large pattern's sample holds less for an anchor, because
    nearly all rows carry one of its labels, the rows without the commonest of them (`without`) are sampled, and so on.
    """
    rows, more = queries.lookups.strangers(pattern, without, visit.dominant, visit.size)
    if not len(rows):
        return
    target, own, theirs = Target(features, rows, queries.lookups.distance), queries.membership, graph.membership
    for part in blocks(len(group), len(rows)):
        block = group[part]
        keys = target.nearest(queries.vectors[block])
        exclude_relatives(keys, rows, theirs.indptr, theirs.indices, block, own.indptr, own.indices, graph.n_classes)
        target.exclude(keys, queries.rows[block])
        wanted = visit.missing[block]
        keys = smallest(keys, int(wanted.max()))
        keys[np.arange(keys.shape[1]) >= wanted[:, None]] = EXCLUDED
        few = (keys != EXCLUDED).sum(axis=1) < wanted if more else np.zeros(len(block), dtype=np.bool_)
        yield block[~few], rows, keys[~few]
        if few.any():
            commonest = _commonest(own[block[few]], theirs[rows])
            for label, some in _by_value(commonest, block[few]):
                less = tuple(sorted({*without, label}))
                yield from nearest_others(graph, features, queries, visit, pattern, some, less)


def _commonest(own: Membership, theirs: Membership) -> I64:
    """Of the labels of each row of `own` (R, K), the one that most rows of `theirs` (M, K) carry, ties the lower."""
    anchor, often = stored_rows(own), np.bincount(theirs.indices, minlength=own.shape[1])[own.indices]
    order = np.lexsort((own.indices, -often, anchor))
    _, first = np.unique(anchor[order], return_index=True)
    return np.asarray(own.indices[order][first], dtype=np.int64)


def _by_value(values: I64, members: I64) -> Iterator[tuple[int, I64]]:
    """Values (R,) and members (R,) -> each value, ascending, with its members in their order."""
    order = np.argsort(values, kind="stable")
    used, starts = np.unique(values[order], return_index=True)
    yield from zip(used.tolist(), np.split(members[order], starts[1:]), strict=True)


def in_own_pattern(graph: HierarchyGraph, features: Floats, queries: Queries, most: int, size: int) -> Iterator[Piece]:
    """The nearest rows of the anchor's own pattern that share no label with it, at most `most`, with priority 1.

    size: that of `Visit`.
    """
    visit = Visit(np.full(len(queries.rows), most, dtype=np.int64), size)
    for pattern, group in _by_value(queries.patterns, np.arange(len(queries.rows))):
        for block, rows, keys in nearest_others(graph, features, queries, visit, pattern, group):
            yield piece_of(block, rows, keys, 1)
