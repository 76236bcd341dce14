"""Compiled loops of strategies: whole numbers alone, so that they give the same on every machine."""

from __future__ import annotations

from typing import Any

import numpy as np

from csrms_dist.basics.compiling import compiled

_EXCLUDED = np.iinfo(np.int64).max  # distances.EXCLUDED


@compiled
def exclude_relatives(
    keys: Any, rows: Any, indptr: Any, indices: Any, anchors: Any, own_indptr: Any, own_indices: Any, n_classes: int
) -> None:
    """Set keys (R, M) to EXCLUDED, in place, where anchors[r] and rows[m] have a label in common.

    indptr, indices: the labels of rows, a CSR matrix. own_indptr, own_indices: those of anchors.
    """
    turn = np.full(n_classes, -1, np.int64)
    for r in range(len(anchors)):
        for p in range(own_indptr[anchors[r]], own_indptr[anchors[r] + 1]):
            turn[own_indices[p]] = r
        for m in range(len(rows)):
            for p in range(indptr[rows[m]], indptr[rows[m] + 1]):
                if turn[indices[p]] == r:
                    keys[r, m] = _EXCLUDED
                    break
