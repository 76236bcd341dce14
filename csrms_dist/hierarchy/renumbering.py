"""Numbers of patterns that stay where the members stay, when the same rows are clustered anew."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from csrms_dist.basics.arrays import I32, I64, Bools


class Renumbered(NamedTuple):
    """number: (J,) int64, the new number of each pattern. kept: (J,) bool, by the new number: it is an old pattern."""

    number: I64
    kept: Bools


def keep_numbers(before: I32, after: I32) -> Renumbered:
    """Two assignments (N,) of the same rows, of patterns without gaps -> numbers for the patterns of the second.

    A pattern is an old one where more than half of the rows that are in either of the two are in both, so that each is
    at most one. It keeps the old number, unless there are no longer so many patterns. The others take the numbers that
    are left, in their own order.

    >>> keep_numbers(np.array([0, 0, 1, 1, 2, 2]), np.array([1, 1, 2, 2, 0, 0])).number.tolist()
    [2, 0, 1]
    """
    n_after, width = int(after.max()) + 1, int(before.max()) + 1
    pairs, common = np.unique(after.astype(np.int64) * width + before, return_counts=True)
    new, old = pairs // width, pairs % width
    either = np.bincount(after)[new] + np.bincount(before)[old] - common
    same = (2 * common > either) & (old < n_after)
    number = np.full(n_after, -1, np.int64)
    number[new[same]] = old[same]
    left = np.setdiff1d(np.arange(n_after), number)
    kept = np.ones(n_after, np.bool_)
    kept[left] = False
    number[number < 0] = left
    return Renumbered(number, kept)
