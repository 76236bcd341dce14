"""Compiled loops that the algorithms share. Plain order of operations: no fastmath, no fused multiply-add, no threads.

Every sum runs in index order, so that a kernel gives the same bits on every machine. Callers check shapes and types.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from csrms_dist.basics.compiling import compiled


@compiled
def add_members(q: Any, winner: Any, sums: Any) -> Any:
    """sums[winner[i]] += q[i], exactly; rows without a winner (-1) add nothing."""
    for i in range(q.shape[0]):
        j = winner[i]
        if j >= 0:
            for d in range(q.shape[1]):
                sums[j, d] += np.int64(q[i, d])


@compiled
def project(x: Any, basis: Any, out: Any) -> Any:
    """out = x @ basis, each row by itself and in index order: its bits do not depend on the rows around it."""
    for i in range(x.shape[0]):
        for k in range(basis.shape[1]):
            out[i, k] = 0.0
        for d in range(x.shape[1]):
            value = x[i, d]
            for k in range(basis.shape[1]):
                out[i, k] += value * basis[d, k]
