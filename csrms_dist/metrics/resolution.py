"""Resolution: how much probabilities depend on the image (Murphy, 1973)."""

from __future__ import annotations

import numpy as np

from csrms_dist.basics.arrays import F32

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
    """Whether (N, K) probabilities are about the same for every image."""
    found = resolution(scores)
    return found is not None and found < CONSTANT
