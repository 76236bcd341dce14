"""The rows that the positives of an anchor are chosen from (eq. 5), far keys to them, and how alike they are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from csrms_dist.basics.arrays import I64, Floats
from csrms_dist.hierarchy.csr import stored_rows
from csrms_dist.hierarchy.dominance import largest_dominated_pattern
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import Membership
from csrms_dist.sampling.distances import Target, blocks, normalised
from csrms_dist.sampling.strategies.strategy import Piece, Queries, labels_in_common

"""The pattern that the positives of each class come from, (K,) int64."""


def class_members(graph: HierarchyGraph, features: Floats, queries: Queries) -> Iterator[tuple[I64, Target, I64, I64]]:
    """Blocks of anchors with equal labels: (positions (R,), members of their class, far keys (R, M), available (R,)).

    An anchor of several labels gets the union, over its labels, of the rows that eq. 5 chooses from for that label.
    """
    chosen = largest_dominated_pattern(graph)
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


def weighted_by_labels(graph: HierarchyGraph, queries: Queries, piece: Piece) -> Piece:
    """The piece weighted by how alike the labels are: |A & B| / |A | B| (Jaccard). One label each: 1, not stored."""
    if not graph.multi_label:
        return piece
    anchors, anchor = np.unique(piece.query, return_inverse=True)
    rows, row = np.unique(piece.neighbour, return_inverse=True)
    own, theirs = queries.membership[anchors], graph.membership[rows]
    both = labels_in_common(own, theirs)[anchor, row]
    either = np.diff(own.indptr)[anchor] + np.diff(theirs.indptr)[row] - both
    return piece._replace(weight=(both / np.maximum(either, 1)).astype(np.float32))


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
