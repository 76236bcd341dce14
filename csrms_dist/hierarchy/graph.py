"""HierarchyGraph: one stored version of the class-pattern-instance hierarchy, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from csrms_dist.basics.arrays import F32, I32, I64, Bools
from csrms_dist.labels import Membership

Csr: TypeAlias = Any
"""scipy.sparse.csr_array with sorted indices and no duplicates."""

ROLE_NONE, ROLE_DOMINATES, ROLE_FALLBACK = 0, 1, 2
ROLE_NAMES = ("none", "dominates", "fallback")


@dataclass(frozen=True)
class HierarchyGraph:
    """G_t = {Y, C, I} of CSRMS sec. 4.1.2 for N training rows, J patterns, K classes. Immutable.

    Without classes (K = 0) no pattern is dominated and every difficulty is 1.

    instance: (N,) int64, dense index into the image table, ascending. pattern: (N,) int32 in 0..J-1. score: (N,)
    float32, cosine to the frozen prototype (fuzzy: the choice value). difficulty: (N,) float32 = 1 - best own share.
    membership: (N, K) uint8 CSR. counts: (J, K) int64 CSR, N_k^j of sec. 4.2.3. role: (J, K) int8 CSR with the sparsity
    of `counts` (ROLE_*): a class dominates a pattern when its share is above rho_2; the fallback of a class that
    dominates none is for sampling only. dominated: (J,) bool, some class dominates. member_indptr (J + 1,), member_rows
    (N,): the rows of each pattern, ascending.
    """

    instance: I64
    pattern: I32
    score: F32
    difficulty: F32
    membership: Membership
    counts: Csr
    role: Csr
    dominated: Bools
    member_indptr: I64
    member_rows: I64
    multi_label: bool
    dominance_threshold: float

    @property
    def n_rows(self) -> int:
        return len(self.pattern)

    @property
    def n_patterns(self) -> int:
        return len(self.dominated)

    @property
    def n_classes(self) -> int:
        return int(self.membership.shape[1])

    @property
    def sizes(self) -> I64:
        """(J,) rows of each pattern."""
        return np.diff(self.member_indptr)

    def members(self, pattern: int) -> I64:
        """The rows of a pattern, ascending."""
        return self.member_rows[self.member_indptr[pattern] : self.member_indptr[pattern + 1]]
