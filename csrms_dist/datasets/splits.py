"""Which images are held out: a hash of the id decides, whatever the order of the images.

Adding images of one class moves none of another, and of its own class at most as many as were added, those next to the
cut. (No rule can keep both an exact share of each class and every image in its place.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from csrms_dist.hashing import hash_ids
from csrms_dist.labels import Membership


def held_out(
    ids: Sequence[str], membership: Membership, fraction: float, purpose: str, multi_label: bool
) -> npt.NDArray[np.bool_]:
    """(N,) mask of the `fraction` of smallest hash in each class (multi-label: overall); ties by the id's bytes.

    A class keeps at least one image outside the mask.
    """
    keys = hash_ids(ids, purpose)
    order = np.lexsort((np.array([i.encode() for i in ids], dtype=object).argsort(kind="stable").argsort(), keys))
    mask = np.zeros(len(ids), np.bool_)
    if multi_label:
        groups = [order]
    else:
        by_class = membership.tocsc()
        of_class = [by_class.indices[by_class.indptr[k] : by_class.indptr[k + 1]] for k in range(membership.shape[1])]
        rank = np.empty(len(ids), np.int64)
        rank[order] = np.arange(len(ids))
        groups = [rows[np.argsort(rank[rows])] for rows in of_class]
    for rows in groups:
        mask[rows[: min(round(fraction * len(rows)), max(len(rows) - 1, 0))]] = True
    return mask
