"""How sure a difference is: paired bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csrms_dist.basics.arrays import F32, F64, Bools
from csrms_dist.labels import Membership
from csrms_dist.metrics.ranking import mean_of_known, ranking_of

MAP_WORK = 2 * 10**8
"""Scores that the bootstrap of a mean average precision may go through: bounds its time, not below 100 resamples."""


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a - b over paired images, and its percentile bootstrap interval."""

    value: float
    low: float
    high: float

    @property
    def within_noise(self) -> bool:
        """Whether the interval covers 0."""
        return self.low <= 0 <= self.high


def paired_bootstrap(a: Bools, b: Bools, samples: int, seed: int, level: float = 0.95) -> PairedDifference:
    """Difference of two accuracies on the same N images, with a percentile bootstrap interval (Efron, 1979).

    The paired differences take three values only, so resampling N images is one multinomial draw of their counts.
    """
    n = len(a)
    difference = a.astype(np.int64) - b.astype(np.int64)
    shares = np.array([(difference == v).sum() for v in (-1, 0, 1)]) / n
    draws = np.random.default_rng(seed).multinomial(n, shares, size=samples)
    means = (draws[:, 2] - draws[:, 0]) / n
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return PairedDifference(float(difference.mean()), float(low), float(high))


def paired_bootstrap_map(
    a: F32, b: F32, membership: Membership, samples: int, seed: int, level: float = 0.95
) -> PairedDifference:
    """Difference of two mean average precisions, with a percentile bootstrap interval over images.

    A resample is a weight for each image; classes without an image in it are left out of its mean. At most `samples`
    resamples, fewer where they would go through more than `MAP_WORK` scores, never fewer than 100.
    """
    n, k = a.shape
    dense = membership.tocsc()
    classes = np.flatnonzero(np.diff(dense.indptr) > 0)
    rankings = [(ranking_of(a, dense, c), ranking_of(b, dense, c)) for c in classes.tolist()]

    def difference(weight: F64) -> float:
        pairs = np.array([(x.average_precision(weight), y.average_precision(weight)) for x, y in rankings])
        return mean_of_known(pairs[:, 0]) - mean_of_known(pairs[:, 1]) if len(pairs) else 0.0

    number = int(min(samples, max(100, MAP_WORK // max(n * k, 1))))
    draw = np.random.default_rng(seed)
    even = np.full(n, 1 / n)
    values = [difference(draw.multinomial(n, even).astype(np.float64)) for _ in range(number)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return PairedDifference(difference(np.ones(n)), float(low), float(high))
