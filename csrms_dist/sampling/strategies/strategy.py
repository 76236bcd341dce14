"""Class-aware graph sampling (CSRMS sec. 4.2): which rows may become the positives and negatives of an anchor.

A strategy yields pieces of a candidate list, block by block; candidates.py joins them. It sees membership alone: two
images are of the same class when they share a label, of another class when they share none. A class *dominates* a
pattern when the hierarchy gives it that role. Distances are Euclidean on L2-normalised features, ties go to the lower
row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from csrms_dist.basics.arrays import F32, F64, I32, I64, Bools, Floats
from csrms_dist.basics.hashing import mix
from csrms_dist.hierarchy.graph import ROLE_DOMINATES, ROLE_NONE, HierarchyGraph
from csrms_dist.hierarchy.pattern_counts import stored_rows
from csrms_dist.labels import Membership
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

_CAP = 0x706F6F6C
"""Keeps the hash that caps a far half apart from the hashes that draw."""

_CANCELLED = 1e-12
"""A mean of unit vectors below this is rounding."""


@dataclass(frozen=True, eq=False)
class Queries:
    """Q anchors: rows of the hierarchy, or vectors from elsewhere with given labels.

    vectors: (Q, D). membership: (Q, K). rows: (Q,) int64, -1 for an anchor that is no row. patterns: (Q,) int64.
    means: `pattern_means` of the hierarchy, a pass over all its rows that is made when first asked for.
    """

    vectors: Floats
    membership: Membership
    rows: I64
    patterns: I64
    means: Callable[[], F64]


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


# ---------------------------------------------------------------- positives


def positive_patterns(graph: HierarchyGraph) -> I64:
    """(K,) int64: the largest pattern that each class dominates, by its members of that class, ties the lower index.

    For a class that dominates none, the pattern in which its role is 'fallback'; -1 for a class without either.
    """
    counts, role = sparse.coo_array(graph.counts), sparse.coo_array(graph.role)
    used = role.data != ROLE_NONE
    pattern, label, n, kind = role.row[used], role.col[used], counts.data[used], role.data[used]
    order = np.lexsort((pattern, -n, kind != ROLE_DOMINATES, label))
    classes, first = np.unique(label[order], return_index=True)
    chosen = np.full(graph.n_classes, -1, dtype=np.int64)
    chosen[classes] = pattern[order][first]
    return chosen


def dominant_far(graph: HierarchyGraph, features: Floats, queries: Queries, n: int, pool: int) -> Iterator[Piece]:
    """Eq. 5 as printed: Omega_posi = S_dp(I_i, phi(I_i, I_i^j), n).

    The n members of the anchor's class that are farthest from it in the largest pattern that its class dominates.
    """
    for block, target, keys, _ in _class_members(graph, features, queries):
        yield _alike(graph, queries, _piece(block, target.rows, smallest(keys, n), 1))


def dominant_far_half(graph: HierarchyGraph, features: Floats, queries: Queries, n: int, pool: int) -> Iterator[Piece]:
    """The far half (rounded up) of the members that eq. 5 chooses from, so that every epoch can draw anew.

    Of a half with more than max(pool, n) rows those with the largest hash of (anchor's row, candidate's row) stay, not
    the farthest: the pool is a uniform sample of the half. Anchors that are no rows share the hash of row -1.
    """
    limit = max(pool, n)
    for block, target, keys, available in _class_members(graph, features, queries):
        half = (available + 1) // 2
        widest = int(half.max(initial=0))
        if widest < keys.shape[1]:
            keys.partition(np.unique(half[half < keys.shape[1]]), axis=1)  # no need to sort what is capped below
        far = keys[:, :widest]
        far[np.arange(widest) >= half[:, None]] = EXCLUDED
        if widest > limit:
            draw = mix(_CAP, queries.rows[block][:, None], target.rows[_safe(far)])
            draw[far == EXCLUDED] = 0
            column = np.argpartition(draw, widest - limit, axis=1)[:, -limit:]
            far = np.take_along_axis(far, column, axis=1)
        yield _alike(graph, queries, _piece(block, target.rows, np.sort(far, axis=1), 1))


def _alike(graph: HierarchyGraph, queries: Queries, piece: Piece) -> Piece:
    """The piece weighted by how alike the labels are: |A & B| / |A | B| (Jaccard). One label each: 1, not stored."""
    if not graph.multi_label:
        return piece
    anchors, anchor = np.unique(piece.query, return_inverse=True)
    rows, row = np.unique(piece.neighbour, return_inverse=True)
    own, theirs = queries.membership[anchors], graph.membership[rows]
    both = _common(own, theirs)[anchor, row]
    either = np.diff(own.indptr)[anchor] + np.diff(theirs.indptr)[row] - both
    return piece._replace(weight=(both / np.maximum(either, 1)).astype(np.float32))


def _class_members(graph: HierarchyGraph, features: Floats, queries: Queries) -> Iterator[tuple[I64, Target, I64, I64]]:
    """Blocks of anchors with equal labels: (positions (R,), members of their class, far keys (R, M), available (R,)).

    An anchor of several labels gets the union, over its labels, of the rows that eq. 5 chooses from for that label.
    """
    chosen = positive_patterns(graph)
    for group, labels in label_sets(queries.membership):
        parts = [_carriers(graph, int(chosen[label]), int(label)) for label in labels]
        rows = np.unique(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)
        if not len(rows):
            continue
        target = Target(features, rows)
        for part in blocks(len(group), len(rows)):
            block = group[part]
            keys = target.farthest(normalised(queries.vectors[block]))
            own = target.exclude(keys, queries.rows[block])
            yield block, target, keys, len(rows) - own.astype(np.int64)


def _carriers(graph: HierarchyGraph, pattern: int, label: int) -> I64:
    """The members of a pattern (-1: of none) that carry the label, ascending."""
    if pattern < 0:
        return np.zeros(0, dtype=np.int64)
    rows = graph.members(pattern)
    theirs = graph.membership[rows]
    return np.asarray(rows[stored_rows(theirs)[theirs.indices == label]])


def label_sets(membership: Membership) -> Iterator[tuple[I64, I64]]:
    """Group rows by their labels: (positions ascending (R,), class indices (L,)), in the order of first appearance."""
    n, degrees = membership.shape[0], np.diff(membership.indptr)
    sets = np.full((n, max(1, int(degrees.max(initial=0)))), -1, dtype=np.int64)
    rows = stored_rows(membership)
    sets[rows, np.arange(len(rows)) - membership.indptr[rows]] = membership.indices
    order = np.lexsort(sets.T)  # stable: the first of equal rows comes first
    differs = np.flatnonzero((sets[order][1:] != sets[order][:-1]).any(axis=1)) + 1
    groups = [group for group in np.split(order, differs) if len(group)]
    for group in sorted(groups, key=lambda group: int(group[0])):
        yield group, sets[group[0]][: degrees[group[0]]]


# ---------------------------------------------------------------- negatives


def same_then_nearest(graph: HierarchyGraph, features: Floats, queries: Queries, m: int, pool: int) -> Iterator[Piece]:
    """Other-class members of the anchor's own pattern, nearest first, at most max(pool, m) of them, with priority 1.

    An anchor with fewer than m is filled up to m, with priority 0, from the nearest pattern that a class other than the
    anchor's dominates (distance to the pattern's mean), nearest members first, then from the next nearest; after those
    from the nearest patterns that hold other-class members at all. So it is empty only when there is no other class.
    """
    missing = np.full(len(queries.rows), m, dtype=np.int64)
    order = np.argsort(queries.patterns, kind="stable")
    used, starts = np.unique(queries.patterns[order], return_index=True)
    for pattern, group in zip(used.tolist(), np.split(order, starts[1:]), strict=True):
        target = Target(features, graph.members(pattern))
        for block, found in _nearest_others(graph, queries, target, group, max(pool, m)):
            missing[block] -= (found != EXCLUDED).sum(axis=1)
            yield _piece(block, target.rows, found, 1)

    def fill(block: I64, found: I64) -> None:
        missing[block] -= (found != EXCLUDED).sum(axis=1)

    yield from _visit_patterns(graph, features, queries, missing, graph.members, fill, only_dominated=False)


def nearest_dominated(graph: HierarchyGraph, features: Floats, queries: Queries, m: int, pool: int) -> Iterator[Piece]:
    """Eq. 6 as printed: Omega_nega = S_vp(I_i, phi(I_i, I_i^l), m).

    The m members nearest to the anchor in the nearest pattern (distance to its mean; the anchor's own pattern included)
    that a class other than the anchor's dominates. Its members here are those of a class that dominates it, and of
    these the ones that share no label with the anchor; with several labels an image may share one with all of them, and
    the next nearest pattern is taken. Fewer than m when the pattern has fewer; none when no other class dominates any.
    """
    missing = np.full(len(queries.rows), m, dtype=np.int64)
    dominators = _dominators(graph)

    def members(pattern: int) -> I64:
        rows = graph.members(pattern)
        return rows[_shares(graph.membership[rows], dominators[[pattern]])[:, 0]]

    def first(block: I64, found: I64) -> None:
        missing[block[(found != EXCLUDED).any(axis=1)]] = 0

    yield from _visit_patterns(graph, features, queries, missing, members, first, only_dominated=True)


def _visit_patterns(
    graph: HierarchyGraph,
    features: Floats,
    queries: Queries,
    missing: I64,
    members: Callable[[int], I64],
    account: Callable[[I64, I64], None],
    *,
    only_dominated: bool,
) -> Iterator[Piece]:
    """Go through the patterns, nearest first, until no anchor misses anything. `account` lowers `missing`."""
    needy = np.flatnonzero(missing > 0)
    if not len(needy):
        return
    means = queries.means()
    for part in blocks(len(needy), graph.n_patterns):
        block = needy[part]
        keys = nearest_keys(squared_distances(normalised(queries.vectors[block]), means))
        other = _dominated_by_other(graph, queries.membership[block])
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
                for some, found in _nearest_others(graph, queries, target, group, int(missing[group].max())):
                    found[np.arange(found.shape[1]) >= missing[some][:, None]] = EXCLUDED
                    account(some, found)
                    yield _piece(some, target.rows, found, 0)


def _nearest_others(
    graph: HierarchyGraph, queries: Queries, target: Target, group: I64, k: int
) -> Iterator[tuple[I64, I64]]:
    """Blocks (positions (R,), keys (R, <= k)) of the k nearest rows of `target` that share no label with the anchor."""
    theirs = graph.membership[target.rows]
    for part in blocks(len(group), len(target.rows)):
        block = group[part]
        keys = target.nearest(normalised(queries.vectors[block]))
        keys[_shares(queries.membership[block], theirs)] = EXCLUDED
        target.exclude(keys, queries.rows[block])
        yield block, smallest(keys, k)


def pattern_means(graph: HierarchyGraph, features: Floats) -> F64:
    """(J, D) float64: the mean of each pattern's L2-normalised members, L2-normalised.

    Zero for an empty pattern, and for one whose members cancel: what rounding leaves of their mean has no direction.
    """
    means = np.zeros((graph.n_patterns, features.shape[1]), dtype=np.float64)
    for pattern in range(graph.n_patterns):
        rows = graph.members(pattern)
        for part in blocks(len(rows), features.shape[1]):
            means[pattern] += normalised(features[rows[part]]).sum(axis=0)
        means[pattern] /= max(1, len(rows))
    means[np.abs(means).max(axis=1, initial=0.0) < _CANCELLED] = 0.0
    return normalised(means)


def nearest_patterns(graph: HierarchyGraph, features: Floats, vectors: npt.ArrayLike) -> I64:
    """Vectors (Q, D) -> (Q,) int64: the pattern of the nearest mean, ties the lower index; empty patterns left out."""
    values = np.asarray(vectors)
    means = pattern_means(graph, features)
    found = np.zeros(len(values), dtype=np.int64)
    for part in blocks(len(values), graph.n_patterns):
        keys = nearest_keys(squared_distances(normalised(values[part]), means))
        keys[:, graph.sizes == 0] = EXCLUDED
        found[part] = positions(keys.min(axis=1))
    return found


def _dominators(graph: HierarchyGraph) -> Any:
    """(J, K) int32 CSR: 1 where the class dominates the pattern."""
    role = sparse.coo_array(graph.role)
    kept = role.data == ROLE_DOMINATES
    ones = np.ones(int(kept.sum()), dtype=np.int32)
    return sparse.csr_array((ones, (role.row[kept], role.col[kept])), shape=role.shape)


def _dominated_by_other(graph: HierarchyGraph, membership: Membership) -> Bools:
    """(R, J): some class that is not among the anchor's dominates the pattern."""
    dominators = _dominators(graph)
    own = (membership.astype(np.int32) @ dominators.T).toarray()
    return np.asarray(own < np.asarray(dominators.sum(axis=1))[None, :])


def _shares(a: Any, b: Any) -> Bools:
    """Label matrices (R, K) and (S, K) -> (R, S): the two have a label in common."""
    return _common(a, b) > 0


def _common(a: Any, b: Any) -> I32:
    """Label matrices (R, K) and (S, K) -> (R, S): how many labels the two have in common."""
    return np.asarray((a.astype(np.int32) @ b.astype(np.int32).T).toarray())


# ---------------------------------------------------------------- both


def _safe(keys: I64) -> I64:
    return np.where(keys == EXCLUDED, 0, positions(keys))


def _piece(block: I64, rows: I64, keys: I64, priority: int) -> Piece:
    anchor, column = np.nonzero(keys != EXCLUDED)
    return Piece(block[anchor], rows[positions(keys[anchor, column])], priority)


POSITIVES: dict[str, Strategy] = {"dominant_far_half": dominant_far_half, "dominant_far": dominant_far}
NEGATIVES: dict[str, Strategy] = {"same_then_nearest": same_then_nearest, "nearest_dominated": nearest_dominated}
