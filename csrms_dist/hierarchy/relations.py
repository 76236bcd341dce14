"""The class-level sample relations, CSRMS eq. 1-3, of one row.

"Same class" is "shares a label", "different" is "shares none", so the single-label case is the one-hot case. A pattern
is dominated (PC in the paper) when some class has a share above rho_2 there, else it is mixed (MC).
"""

from __future__ import annotations

import numpy as np

from csrms_dist.basics.arrays import I64, Bools
from csrms_dist.hierarchy.csr import stored_rows
from csrms_dist.hierarchy.graph import HierarchyGraph


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
