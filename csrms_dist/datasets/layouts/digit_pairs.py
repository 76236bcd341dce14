"""Two of scikit-learn's digits side by side: images with one or two labels, for trying what has several.

The digits are divided into train and test as `digits` divides them; then each is paired with another of its side, drawn
by a hash. 32 x 32 x 3: each digit takes 16 x 16 pixels at half height, the rest is black. The labels are the set of
both digits.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from csrms_dist.basics.arrays import I64, U8
from csrms_dist.basics.hashing import hash_ids
from csrms_dist.datasets.layouts.digits import CLASS_NAMES, enlarged, grey_digits
from csrms_dist.datasets.layouts.layout_format import Found, LayoutFormat, Rows
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.datasets.splits import held_out
from csrms_dist.labels import LabelSpace


def find(settings: DataSettings) -> Found:
    """As many pairs as digits, each digit once on the left."""
    grey, target = grey_digits()
    ids = [f"digit-{n:04d}" for n in range(len(target))]
    membership = LabelSpace(CLASS_NAMES).membership(target)
    test = held_out(ids, membership, settings.test_fraction, "test", multi_label=False)
    sides = {side: _pairs(np.flatnonzero(mask), ids, grey, target) for side, mask in (("train", ~test), ("test", test))}
    return Found("digit_pairs", sides, True, dict(enumerate(CLASS_NAMES)), len(CLASS_NAMES))


def _pairs(members: I64, ids: list[str], grey: U8, target: I64) -> Rows:
    """Pair each digit of one side with another of that side."""
    right = members[partners([ids[n] for n in members.tolist()])]
    names = [f"pair-{a:04d}-{b:04d}" for a, b in zip(members.tolist(), right.tolist(), strict=True)]
    labels = np.stack([target[members], target[right]], axis=1).reshape(-1)

    def images(rows: I64) -> U8:
        pixels = np.zeros((len(rows), 32, 32, 3), np.uint8)
        pixels[:, 8:24, :16] = enlarged(grey[members[rows]], 2)
        pixels[:, 8:24, 16:] = enlarged(grey[right[rows]], 2)
        return pixels

    return Rows(pa.array(names, pa.string()), np.arange(0, len(labels) + 1, 2), labels, lambda rows: iter(images(rows)))


def partners(ids: list[str]) -> I64:
    """(N,) the place of each one's partner: its id's hash names a step of 1..N - 1 around the circle."""
    n = np.uint64(max(len(ids) - 1, 1))
    steps = (hash_ids(ids, "partner") % n).astype(np.int64) + 1
    return (np.arange(len(ids)) + steps) % max(len(ids), 1)


LAYOUT = LayoutFormat(find)
