"""Resolution: how much probabilities depend on the image (Murphy, 1973)."""

from __future__ import annotations

import numpy as np

from csrms_dist.basics.arrays import F32
from csrms_dist.labels import Membership
from csrms_dist.metrics.classification import top_hits

CONSTANT = 1e-3
"""Probabilities of a smaller resolution are called the same for every image."""


def resolution(scores: F32) -> float | None:
    """Variance of (N, K) probabilities over images, summed over classes, as a share of what certain answers would have.

    0 for one answer for all images, 1 for answers of 0 and 1; None where there is nothing to depend on: fewer than two
    images, or no class between 0 and 1 in the mean.
    """
    if len(scores) < 2:
        return None
    mean = scores.mean(axis=0, dtype=np.float64)
    most = float((mean * (1 - mean)).sum())
    if most < 1e-9:
        return None
    return float(scores.var(axis=0, dtype=np.float64).sum() / most)


def is_constant(scores: F32) -> bool:
    """Whether (N, K) probabilities are about the same for every image; not where there is nothing to choose from."""
    if len(scores) < 2 or scores.shape[1] < 2:
        return False
    found = resolution(scores)
    return bool((scores == scores[0]).all() and scores.any()) if found is None else found < CONSTANT


def learnt_nothing(scores: F32, membership: Membership) -> bool:
    """Whether (N, K) probabilities are about the same for every image, and their first answers no better than the best
    single one for all, by less than two standard errors. Soft probabilities may vary little and yet answer well."""
    if not is_constant(scores):
        return False
    best = float(np.asarray(membership.mean(axis=0)).max())
    error = (best * (1 - best) / len(scores)) ** 0.5
    return bool(top_hits(scores, membership).mean() <= best + 2 * error)
