"""Dominance (CSRMS sec. 4.3): which class is to which pattern what. `roles` decides it, the rest reads it.

A class dominates a pattern when its share is above rho_2; one that dominates none has a fallback pattern, for sampling
only. A class without an image is in no pattern, and has neither. Everything is computed on the stored values: nothing
of shape (J, K) is made.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from csrms_dist.basics.arrays import I64, Bools
from csrms_dist.hierarchy.csr import canonical_csr, stored_rows, with_data
from csrms_dist.hierarchy.graph import ROLE_DOMINATES, ROLE_FALLBACK, ROLE_NONE, Csr, HierarchyGraph
from csrms_dist.hierarchy.pattern_counts import pattern_shares
from csrms_dist.labels import Membership

FALLBACK_MEMBERS = 5
"""A class that dominates no pattern falls back on one with at least max(n, this many) of its members."""


def roles(counts: Csr, sizes: npt.NDArray[np.integer], dominance_threshold: float, n_positives: int) -> Csr:
    """The role of each class in each pattern it occurs in (sec. 4.3, rho_2): (J, K) int8 CSR, the sparsity of `counts`.

    ROLE_DOMINATES where share > dominance_threshold. A class that dominates no pattern gets one ROLE_FALLBACK, for
    sampling only: the pattern with its highest share among those with at least max(n_positives, 5) of its members; if
    no pattern has that many, the pattern with most of its members; ties to the lower index. Else ROLE_NONE.
    """
    share = pattern_shares(counts, sizes).data
    role = np.where(share > dominance_threshold, ROLE_DOMINATES, ROLE_NONE).astype(np.int8)
    dominates = np.bincount(counts.indices[role == ROLE_DOMINATES], minlength=counts.shape[1]) > 0
    need = max(n_positives, FALLBACK_MEMBERS)
    by_class = np.argsort(counts.indices, kind="stable")  # within a class the patterns stay ascending
    for cells in np.split(by_class, np.searchsorted(counts.indices[by_class], np.arange(1, counts.shape[1]))):
        if len(cells) and not dominates[counts.indices[cells[0]]]:
            enough = cells[counts.data[cells] >= need]
            best = enough[np.argmax(share[enough])] if len(enough) else cells[np.argmax(counts.data[cells])]
            role[best] = ROLE_FALLBACK
    return with_data(counts, role)


def largest_dominated_pattern(graph: HierarchyGraph) -> I64:
    """(K,) int64: the pattern that each class dominates with most of its members, ties the lower index.

    For a class that dominates none its fallback pattern; -1 for a class in no pattern.
    """
    pattern, label, n, role = _used(graph)
    order = np.lexsort((pattern, -n, role != ROLE_DOMINATES, label))
    classes, first = np.unique(label[order], return_index=True)
    largest = np.full(graph.n_classes, -1, np.int64)
    largest[classes] = pattern[order][first]
    return largest


def fallback_classes(graph: HierarchyGraph) -> I64:
    """The classes that are in some pattern and dominate none, int64 ascending."""
    return np.unique(graph.role.indices[graph.role.data == ROLE_FALLBACK]).astype(np.int64)


def class_group(graph: HierarchyGraph) -> I64:
    """(N,) int64: the class that dominates, or falls back to, the pattern of each row; -1 for none.

    With one label an image and rho_2 >= .5 at most one class dominates a pattern. Where several do, the one of largest
    share is taken, ties the lower class; a class that falls back is compared with them in the same way.
    """
    pattern, label, n, _ = _used(graph)
    order = np.lexsort((label, -n, pattern))
    patterns, first = np.unique(pattern[order], return_index=True)
    owner = np.full(graph.n_patterns, -1, np.int64)
    owner[patterns] = label[order][first]
    return np.asarray(owner[graph.pattern])


def dominators(graph: HierarchyGraph) -> Csr:
    """(J, K) int32 CSR: 1 where the class dominates the pattern, nothing else stored."""
    kept = graph.role.data == ROLE_DOMINATES
    indptr = np.concatenate([[0], np.cumsum(kept)])[graph.role.indptr]
    return canonical_csr(np.ones(int(kept.sum()), np.int32), graph.role.indices[kept], indptr, graph.role.shape)


def dominated_by_other(dominating: Csr, membership: Membership) -> Bools:
    """(R, J): whether a class that is not among the labels of row r dominates pattern j.

    dominating: `dominators` of the hierarchy, (J, K). membership: (R, K).
    """
    own = (membership.astype(np.int32) @ dominating.T).toarray()
    return np.asarray(own < np.diff(dominating.indptr)[None, :])


def _used(graph: HierarchyGraph) -> tuple[I64, I64, I64, I64]:
    """(pattern, class, N_k^j, role) of every pair that has a role, each (E,) int64."""
    used = graph.role.data != ROLE_NONE
    pattern, label = stored_rows(graph.role)[used], np.asarray(graph.role.indices[used], np.int64)
    return pattern, label, graph.counts.data[used], graph.role.data[used].astype(np.int64)
