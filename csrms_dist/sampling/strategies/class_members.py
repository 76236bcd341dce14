"""The rows that the positives of an anchor are chosen from (eq. 5), far keys to them, and how alike they are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from csrms_dist.basics.arrays import I64, Floats
from csrms_dist.hierarchy.csr import stored_rows
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import Membership
from csrms_dist.sampling.distances import Target, blocks
from csrms_dist.sampling.strategies.kernels import count_labels
from csrms_dist.sampling.strategies.lookups import sampled
from csrms_dist.sampling.strategies.strategy import Piece, Queries


def class_members(
    features: Floats, queries: Queries, size: int, *, never_empty: bool = False
) -> Iterator[tuple[I64, Target, I64, I64]]:
    """Blocks of anchors with equal labels: (positions (R,), members of their class, far keys (R, M), available (R,)).

    An anchor of several labels gets the union, over its labels, of the rows that eq. 5 chooses from for that label.
    size: of more rows than this, those of smallest hash are ranked.
    never_empty: an anchor for which there are none but itself gets all rows that share a label with it.
    """
    lookups = queries.lookups
    for group, labels in label_sets(queries.membership):
        rows = _union([lookups.carriers(label, size) for label in labels.tolist()], size)
        alone = (queries.rows[group, None] == rows[:2]).all(axis=1) if len(rows) < 2 else np.zeros(len(group), np.bool_)
        yield from _ranked(features, queries, group[~alone], rows)
        if never_empty and alone.any():
            everyone = _union([lookups.class_rows(label, size) for label in labels.tolist()], size)
            yield from _ranked(features, queries, group[alone], everyone)


def _union(parts: list[I64], size: int) -> I64:
    """The rows of all parts, ascending, at most `size` of them."""
    return sampled(np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *parts])), size)


def _ranked(features: Floats, queries: Queries, group: I64, rows: I64) -> Iterator[tuple[I64, Target, I64, I64]]:
    if not len(rows) or not len(group):
        return
    target = Target(features, rows, queries.lookups.distance)
    for part in blocks(len(group), len(rows)):
        block = group[part]
        keys = target.farthest(queries.vectors[block])
        own = target.exclude(keys, queries.rows[block])
        yield block, target, keys, len(rows) - own.astype(np.int64)


def weighted_by_labels(graph: HierarchyGraph, queries: Queries, piece: Piece) -> Piece:
    """The piece weighted by how alike the labels are: |A & B| / |A | B| (Jaccard). One label each: 1, not stored."""
    if not graph.multi_label:
        return piece
    own, theirs = _ascending(queries.membership), _ascending(graph.membership)
    both, either = np.empty((2, len(piece.query)), np.int64)
    # SciPy takes a millisecond for a piece of a few edges, and of images with several labels there are many such.
    count_labels(piece.query, piece.neighbour, own.indptr, own.indices, theirs.indptr, theirs.indices, both, either)
    return piece._replace(weight=(both / np.maximum(either, 1)).astype(np.float32))


def _ascending(membership: Membership) -> Membership:
    return membership if membership.has_sorted_indices else membership.sorted_indices()


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
