"""The class-level sample relations, CSRMS eq. 1-3, of one row; and which classes look like which.

"Same class" is "shares a label", "different" is "shares none", so the single-label case is the one-hot case. A pattern
is dominated (PC in the paper) when some class has a share above rho_2 there, else it is mixed (MC).
"""

from __future__ import annotations

import numpy as np

from csrms_dist.basics.arrays import I64, Bools
from csrms_dist.hierarchy.csr import canonical_csr, stored_rows
from csrms_dist.hierarchy.graph import Csr, HierarchyGraph
from csrms_dist.hierarchy.pattern_counts import pattern_shares

LOOKS_LIKE_KEPT = 5
_DIGITS = 12  # weights are rounded so that a tie does not depend on the order of summation


def _sharing(graph: HierarchyGraph, row: int) -> Bools:
    """(N,) whether each row shares a label with `row`."""
    matrix = graph.membership
    own = np.zeros(graph.n_classes, np.bool_)
    own[matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]] = True
    shares = np.zeros(graph.n_rows, np.bool_)
    shares[stored_rows(matrix)[own[matrix.indices]]] = True
    return shares


def r_id(graph: HierarchyGraph, row: int) -> I64:
    """R_ID, eq. 1: rows that share a label with `row` when both lie in dominated patterns that differ.

    Returns the partners' rows, (P,) int64 ascending.
    """
    own = graph.pattern[row]
    if not graph.dominated[own]:
        return np.empty(0, np.int64)
    return np.flatnonzero(_sharing(graph, row) & graph.dominated[graph.pattern] & (graph.pattern != own))


def _different_in_pattern(graph: HierarchyGraph, row: int) -> I64:
    members = graph.members(int(graph.pattern[row]))
    others = members[~_sharing(graph, row)[members]]
    return np.asarray(others[others != row], np.int64)


def r_is(graph: HierarchyGraph, row: int) -> I64:
    """R_IS, eq. 2: rows that share no label with `row` in the same dominated pattern. (P,) int64 ascending."""
    return _different_in_pattern(graph, row) if graph.dominated[graph.pattern[row]] else np.empty(0, np.int64)


def r_mc(graph: HierarchyGraph, row: int) -> I64:
    """R_MC, eq. 3: rows that share no label with `row` in the same mixed pattern. (P,) int64 ascending."""
    return np.empty(0, np.int64) if graph.dominated[graph.pattern[row]] else _different_in_pattern(graph, row)


def looks_like(graph: HierarchyGraph) -> Csr:
    """Which classes lie in the same patterns: weight(a -> b) = sum over patterns k of (n_ka / n_a)(n_kb / n_k), a != b.

    It is the chance that a row of class b is met by going from a random row of class a to a random row of its pattern.
    Returns (K, K) float64 CSR with at most the 5 largest weights above 0 of each class a, ties to the lower b.
    """
    counts, n_classes = graph.counts, graph.n_classes
    per_class = np.bincount(counts.indices, weights=counts.data, minlength=n_classes)
    leaves = counts.astype(np.float64).T.tocsr()
    leaves.data /= per_class[stored_rows(leaves)]
    weights = leaves @ pattern_shares(counts, graph.sizes)
    weights.sort_indices()
    source, target, value = stored_rows(weights), weights.indices.astype(np.int64), np.round(weights.data, _DIGITS)
    keep = (source != target) & (value > 0)
    source, target, value = source[keep], target[keep], value[keep]
    order = np.lexsort((target, -value, source))
    rank = np.arange(len(order)) - np.searchsorted(source, source)  # `source` is ascending, and so after the sort
    chosen = np.sort(order[rank < LOOKS_LIKE_KEPT])
    indptr = np.searchsorted(source[chosen], np.arange(n_classes + 1))
    return canonical_csr(value[chosen], target[chosen], indptr, (n_classes, n_classes))
