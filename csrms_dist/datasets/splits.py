"""Which images are held out: what a layout says in a usual word, or a hash of the id, whatever the order of the images.

Adding images of one class moves none of another, and of its own class at most as many as were added, those next to the
cut. (No rule can keep both an exact share of each class and every image in its place.)
"""

from __future__ import annotations

import numpy as np

from csrms_dist.basics.arrays import Bools
from csrms_dist.basics.hashing import Texts, hash_ids, hash_order
from csrms_dist.labels import Membership

WORDS = {
    "train": ("train", "training", "trainset"),
    "val": ("val", "valid", "validation", "valset", "dev"),
    "test": ("test", "testing", "testset"),
}
"""The usual names of the splits, in small letters."""


def split_of(word: str) -> str | None:
    """'train', 'val' or 'test' for any of its usual names, in any case; None for another word."""
    return next((split for split, words in WORDS.items() if word.lower() in words), None)


def held_out(ids: Texts, membership: Membership, fraction: float, purpose: str, multi_label: bool) -> Bools:
    """(N,) mask of the `fraction` of smallest hash in each class (multi-label: overall); ties by the id's bytes.

    A class keeps at least one image outside the mask.
    """
    mask = np.zeros(len(ids), np.bool_)
    order = hash_order(hash_ids(ids, purpose), ids)
    if multi_label:
        groups = [order]
    else:
        classes = membership.indices[order]
        by_class = np.argsort(classes, kind="stable")
        ends = np.cumsum(np.bincount(classes, minlength=membership.shape[1]))
        groups = np.split(order[by_class], ends[:-1])
    for rows in groups:
        mask[rows[: min(round(fraction * len(rows)), max(len(rows) - 1, 0))]] = True
    return mask
