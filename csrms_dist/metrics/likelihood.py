"""Negative log-likelihood: what the true labels cost, in nats. Scores are (N, K) probabilities, membership (N, K) CSR.

Computed in float64 from float32 probabilities, whose rounding bounds it. A probability below 1.2e-38, the smallest
normal float32, is taken for that, so that a certain error costs 87.3 nats and not infinitely many. Above 1 - 2^-25 a
float32 is 1, and what is left for the class not to be there is taken for 2^-25: 17.3 nats. Both are the least that it
can have cost.
"""

from __future__ import annotations

import numpy as np

from csrms_dist.basics.arrays import F32, I64
from csrms_dist.labels import Membership

LEAST, LEAST_LEFT = float(np.finfo(np.float32).tiny), 2.0**-25
BLOCK = 1 << 22
"""Scores that are held as float64 at a time."""


def negative_log_likelihood(scores: F32, membership: Membership, unseen: I64) -> float:
    """Mean of -log p of the image's class, over the images of classes that training saw; NaN without one.

    A class that training never saw has no probability that could be judged: accuracy counts its images as wrong.
    """
    rows = np.repeat(np.arange(len(scores)), np.diff(membership.indptr))
    judged = ~np.isin(membership.indices, unseen)
    if not judged.any():
        return float("nan")
    own = scores[rows[judged], membership.indices[judged]].astype(np.float64)
    return float(-np.log(np.maximum(own, LEAST)).mean())


def label_set_cost(scores: F32, membership: Membership, unseen: I64) -> float:
    """Mean over images of -log of the probability of the whole label set, each class being there or not by itself.

    That is the sum over classes, not the mean, of binary cross-entropies; over the classes that training saw. NaN
    without an image or such a class.
    """
    n, k = scores.shape
    seen = np.setdiff1d(np.arange(k), unseen)
    if not n or not len(seen):
        return float("nan")
    total, step = 0.0, max(1, BLOCK // k)
    for start in range(0, n, step):
        there = scores[start : start + step, seen].astype(np.float64)
        labels = membership[start : start + step].toarray()[:, seen] > 0
        total -= float(np.log(np.where(labels, np.maximum(there, LEAST), np.maximum(1 - there, LEAST_LEFT))).sum())
    return total / int(n)
