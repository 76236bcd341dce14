"""Support: how much the patterns around an image agree with its labels; low support makes a label suspect.

The share of class c around row i is its share in the N_AROUND patterns nearest to i, a pattern k counted by its rows
and by the SHARPNESS-th power of its cosine (none below 0), row i itself left out::

    share_i(c) = sum_k w_ik (n_kc - [i in k][c is a label of i]) / sum_k w_ik (n_k - [i in k])

Equation 7's difficulty looks into the own pattern alone, and counts the row itself; so a wrong label in a small
pattern, or in one that no class dominates, looks as good as a right one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from csrms_dist.basics.arrays import F32, F64, I32, I64
from csrms_dist.hierarchy.csr import stored_rows
from csrms_dist.hierarchy.graph import Csr
from csrms_dist.labels import Membership

N_AROUND = 20
SHARPNESS = 3
NO_CLASS = -1
_CELLS = 1 << 22  # shares of one step


@dataclass(frozen=True)
class Support:
    """Of M rows. support: (M,) float32, the share of the own label that has least, 0 without a label.

    doubted: (M,) int64, that label. suggested: (M,) int64, the class of largest share among those that are no label of
    the row, and suggested_share: (M,) float32, its share. NO_CLASS and 0 where there is none; ties: the lower class.
    """

    support: F32
    doubted: I64
    suggested: I64
    suggested_share: F32


def support(
    around: Iterable[tuple[I64, F64]],
    pattern: I32,
    membership: Membership,
    counts: Csr,
    sizes: I64,
    *,
    counted: bool = True,
) -> Support:
    """The support of the labels of M rows.

    Parameters
    ----------
    around: blocks, in the order of the rows, of the nearest patterns (B, P) int64 and the cosines to them (B, P).
    pattern: (M,) their own. membership: (M, K) their labels. counts: (J, K), sizes: (J,), of the training rows.
    counted: whether these rows are among those of `counts`; of held-out rows nothing is left out.
    """
    n_rows, n_classes = membership.shape
    found = Support(
        np.zeros(n_rows, np.float32),
        np.full(n_rows, NO_CLASS, np.int64),
        np.full(n_rows, NO_CLASS, np.int64),
        np.zeros(n_rows, np.float32),
    )
    if not n_classes:
        return found
    step, start = max(1, _CELLS // n_classes), 0
    for near, cosine in around:
        for first in range(0, len(near), step):
            part = slice(first, first + step)
            stop = start + len(near[part])
            labels = membership[start:stop]
            own = pattern[start:stop] if counted else np.full(stop - start, NO_CLASS, np.int32)
            shares = _shares(near[part], cosine[part], own, labels, counts, sizes)
            _fill(found, slice(start, stop), shares, labels)
            start = stop
    return found


def _shares(near: I64, cosine: F64, own: I32, labels: Membership, counts: Csr, sizes: I64) -> F64:
    """(B, K) the share of every class around each row; 0 where no other row is around."""
    weight = np.maximum(cosine, 0) ** SHARPNESS
    weight[weight.sum(axis=1) == 0] = 1  # nothing lies on the row's side: all patterns count alike
    indptr = np.arange(len(near) + 1) * near.shape[1]
    weights = sparse.csr_array((weight.ravel(), near.ravel(), indptr), shape=(len(near), counts.shape[0]))
    shares: F64 = (weights @ counts.astype(np.float64)).toarray()
    of_own = np.where(near == own[:, None], weight, 0).sum(axis=1)
    shares[stored_rows(labels), labels.indices] -= of_own[stored_rows(labels)]
    total = (weight * sizes[near]).sum(axis=1) - of_own
    # Rounded, so that a tie does not depend on the order of summation.
    return np.where(total[:, None] > 1e-12, np.round(shares / np.maximum(total, 1e-12)[:, None], 9), 0.0).clip(0, 1)


def _fill(found: Support, part: slice, shares: F64, labels: Membership) -> None:
    rows = stored_rows(labels)
    own = np.full(shares.shape, np.inf)
    own[rows, labels.indices] = shares[rows, labels.indices]
    doubted = own.argmin(axis=1)
    least = own[np.arange(len(own)), doubted]
    labelled = np.isfinite(least)
    found.support[part] = np.where(labelled, least, 0)
    found.doubted[part] = np.where(labelled, doubted, NO_CLASS)
    shares[rows, labels.indices] = NO_CLASS
    suggested = shares.argmax(axis=1)
    most = shares[np.arange(len(shares)), suggested]
    found.suggested[part] = np.where(most > 0, suggested, NO_CLASS)
    found.suggested_share[part] = np.maximum(most, 0)
