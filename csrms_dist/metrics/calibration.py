"""Calibration: are answers right as often as their probabilities say? (Guo et al., On Calibration of Modern Neural
Networks, ICML 2017.) Scores are (N, K) class probabilities, membership (N, K) 0/1 CSR.
"""

from __future__ import annotations

import numpy as np

from csrms_dist.basics.arrays import F32, F64, I64, Bools
from csrms_dist.labels import Membership
from csrms_dist.metrics.classification import top_hits
from csrms_dist.metrics.likelihood import BLOCK

BINS = 15


class Bins:
    """`BINS` bins of equal width over probabilities, ((m - 1) / BINS, m / BINS]; 0 is in the first."""

    def __init__(self) -> None:
        self.number, self.stated, self.right = np.zeros(BINS, np.int64), np.zeros(BINS), np.zeros(BINS)

    def add(self, probabilities: F64, right: Bools) -> None:
        """Answers of these probabilities (M,), and whether they were right (M,)."""
        place = np.clip(np.ceil(probabilities * BINS).astype(np.int64) - 1, 0, BINS - 1)
        self.number += np.bincount(place, minlength=BINS)
        self.stated += np.bincount(place, weights=probabilities, minlength=BINS)
        self.right += np.bincount(place, weights=right, minlength=BINS)

    @property
    def error(self) -> float:
        """Mean over answers of |share that was right - mean probability| of their bin; NaN without an answer."""
        n = self.number.sum()
        return float(np.abs(self.right - self.stated).sum() / n) if n else float("nan")


def expected_calibration_error(scores: F32, membership: Membership, unseen: I64) -> float:
    """ECE of the most probable class, over images with a label; those of classes never seen are answered wrongly."""
    labelled, bins = np.diff(membership.indptr) > 0, Bins()
    bins.add(scores.max(axis=1)[labelled].astype(np.float64), top_hits(scores, membership)[labelled])
    return bins.error


def binary_calibration_error(scores: F32, membership: Membership, unseen: I64) -> float:
    """ECE of 'the image has the class', over all pairs of an image and a class that training saw.

    Most images have few of many classes: most answers are a sure and right no, which makes the figure small.
    """
    n, k = scores.shape
    seen, bins, step = np.setdiff1d(np.arange(k), unseen), Bins(), max(1, BLOCK // max(k, 1))
    for start in range(0, n, step):
        labels = membership[start : start + step].toarray()[:, seen] > 0
        bins.add(scores[start : start + step, seen].astype(np.float64).ravel(), labels.ravel())
    return bins.error
