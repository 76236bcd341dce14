"""Accuracy by visual pattern: each test image is counted where the frozen prototypes place it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from csrms_dist.basics.arrays import F32, I64
from csrms_dist.evaluation.scores import numbers
from csrms_dist.labels import Membership
from csrms_dist.metrics.groups import mean_of_groups, pattern_shares, worst_tenth
from csrms_dist.run_contents import RunContents

FEWEST = 5
"""Test images of a pattern that counts in mean and worst tenth: the accuracy of fewer is mostly luck."""
LISTED = 10_000
"""More patterns are not listed one by one: the list would be larger than all other metrics."""


def patterns_of_test(run: RunContents) -> I64:
    """(N,) pattern of each test image; -1 for one that the feature table does not have."""
    found, table = np.full(len(run.test_images), -1, np.int64), run.held_out_by_row
    if table is not None:
        place = table.instance - len(run.train_images)
        rows = np.flatnonzero((place >= 0) & (table.part == 0))
        found[place[rows]] = run.held_out_places.pattern[rows]
    return found


def by_pattern(heads: Mapping[str, F32], membership: Membership, pattern: I64, patterns: int) -> dict[str, Any]:
    """Of (N, K) scores by head, `plain` among them: accuracy, with several labels precision@1, by pattern.

    pattern: (N,), in 0..patterns - 1, or -1 for none.
    """
    found = {head: pattern_shares(scores, membership, pattern, patterns) for head, scores in heads.items()}
    accuracy, images = found["plain"]
    enough = images >= FEWEST
    mean = {head: mean_of_groups(shares[enough]) for head, (shares, _) in found.items()}
    worst = {head: worst_tenth(shares[enough]) for head, (shares, _) in found.items()}
    return {
        "images": images.tolist() if patterns <= LISTED else None,
        "accuracy": numbers(accuracy) if patterns <= LISTED else None,
        "counted": int(enough.sum()),
        "counted_images": int(images[enough].sum()),
        "mean": dict(zip(mean, numbers(mean.values()), strict=True)),
        "worst": dict(zip(worst, numbers(worst.values()), strict=True)),
    }
