"""Counts and shares of classes in patterns (CSRMS sec. 4.2.3).

Notation: N_k^j = `counts[k, j]`, the rows of pattern k that carry class j; N_k = `sizes[k]`; the representativeness of
pattern k for class j is the share N_k^j / N_k. With several labels a row the shares of one pattern may sum above 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from csrms_dist.basics.arrays import F64, I64
from csrms_dist.hierarchy.csr import canonical_csr, stored_rows, with_data
from csrms_dist.hierarchy.graph import Csr
from csrms_dist.labels import Membership

_BLOCK = 1 << 16  # rows of one step


def pattern_counts(pattern: npt.NDArray[np.integer], membership: Membership) -> Csr:
    """N_k^j of CSRMS sec. 4.2.3.

    pattern: (N,) in 0..J-1. membership: (N, K) CSR. Returns (J, K) int64 CSR without stored zeros.
    """
    n_patterns = int(pattern.max()) + 1 if len(pattern) else 0
    n_classes = int(membership.shape[1])
    parts = [np.unique(cells, return_counts=True) for _, cells in _cells(pattern, membership)]
    empty = np.zeros(0, np.int64)
    cells, place = np.unique(np.concatenate([empty, *(cells for cells, _ in parts)]), return_inverse=True)
    n = np.zeros(len(cells), np.int64)
    np.add.at(n, place, np.concatenate([empty, *(n for _, n in parts)]))
    indptr = np.searchsorted(cells, np.arange(n_patterns + 1) * n_classes)
    return canonical_csr(n.astype(np.int64), cells % max(n_classes, 1), indptr, (n_patterns, n_classes))


def _cells(pattern: npt.NDArray[np.integer], membership: Membership) -> Iterator[tuple[I64, I64]]:
    """(row, cell pattern * K + class) of every label, in blocks of rows."""
    n_classes, indptr = int(membership.shape[1]), membership.indptr
    for start in range(0, len(pattern), _BLOCK):
        stop = min(len(pattern), start + _BLOCK)
        rows = np.repeat(np.arange(start, stop), np.diff(indptr[start : stop + 1]))
        labels = membership.indices[indptr[start] : indptr[stop]]
        yield rows, np.asarray(pattern[rows], np.int64) * n_classes + labels


def pattern_shares(counts: Csr, sizes: npt.NDArray[np.integer]) -> Csr:
    """N_k^j / N_k, the representativeness of sec. 4.2.3. counts (J, K), sizes (J,) -> (J, K) float64 CSR."""
    return with_data(counts, counts.data / np.asarray(sizes, np.float64)[stored_rows(counts)])


def top_shares(counts: Csr, sizes: npt.NDArray[np.integer]) -> F64:
    """The largest share of each pattern, (J,) float64; 0 for a pattern without a label."""
    top = np.zeros(counts.shape[0])
    np.maximum.at(top, stored_rows(counts), pattern_shares(counts, sizes).data)
    return top


def own_shares(
    pattern: npt.NDArray[np.integer], membership: Membership, counts: Csr, sizes: npt.NDArray[np.integer]
) -> F64:
    """The best share, in its own pattern, among the labels of each row: (N,) float64, 0 for a row without a label.

    Rows that were not counted may carry a class that their pattern has nothing of: its share is 0.
    """
    stored = np.append(stored_rows(counts) * counts.shape[1] + counts.indices, -1)
    shares = np.append(pattern_shares(counts, sizes).data, 0.0)
    best = np.zeros(len(pattern))
    for rows, cells in _cells(pattern, membership):
        place = np.searchsorted(stored[:-1], cells)
        np.maximum.at(best, rows, np.where(stored[place] == cells, shares[place], 0.0))
    return best
