"""How sure a difference between two recipes is that were trained on the same seeds and answer the same images.

Seeds are the runs of a recipe; images are what they answer. A recipe differs from itself over seeds, and a test set is
a sample of images, so an interval resamples both.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from csrms_dist.basics.arrays import F32, F64, I64, Bools
from csrms_dist.labels import Membership
from csrms_dist.metrics.ranking import mean_of_known, ranking_of

EXACT_SEEDS = 14
"""Up to so many seeds every assignment of signs is looked at."""
MAP_WORK = 4 * 10**8
"""Scores that the bootstrap of a mean average precision may go through: bounds its time, not below 100 resamples."""


@dataclass(frozen=True)
class SeedDifference:
    """Differences a - b, one a seed.

    mean, error: their mean and its standard error, NaN with one seed. p: of the sign-flip permutation test. smallest_p:
    what it can be at the least with so many seeds. low, high: 95 % bootstrap interval over seeds and images.
    """

    seeds: int
    mean: float
    error: float
    p: float
    smallest_p: float
    low: float
    high: float


def sign_flip_p(differences: F64, seed: int = 0, samples: int = 100_000) -> float:
    """Two-sided permutation test of paired differences (S,): the share of sign assignments whose mean lies as far from
    0 as theirs (Fisher, 1935). Exact up to `EXACT_SEEDS`, sampled beyond."""
    n = len(differences)
    if n <= EXACT_SEEDS:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=n)))
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(samples, n))
    means = np.abs(signs @ differences) / n
    observed = abs(differences.mean())
    return float((means >= observed - 1e-12 * max(observed, 1.0)).mean())


def difference_over_seeds(
    differences: F64, resampled: Callable[[I64, F64], float] | None, images: int, samples: int, seed: int
) -> SeedDifference:
    """The account of differences (S,) of a metric over all images.

    resampled: (seeds drawn (S,), weight of each image (N,), mean 1) -> the metric's mean difference over them; None
    where the answers to each image are not known, so that seeds alone are resampled.
    """
    n = len(differences)
    error = float(differences.std(ddof=1) / n**0.5) if n > 1 else float("nan")
    draw = np.random.default_rng(seed)
    even = np.full(max(images, 1), 1 / max(images, 1))
    values = np.empty(samples)
    for number in range(samples):
        seeds = draw.integers(0, n, n)
        if resampled is None:
            values[number] = differences[seeds].mean()
        else:
            values[number] = resampled(seeds, draw.multinomial(images, even).astype(np.float64))
    low, high = np.quantile(values, [0.025, 0.975])
    return SeedDifference(
        n, float(differences.mean()), error, sign_flip_p(differences, seed), 2.0 ** (1 - n), float(low), float(high)
    )


def of_accuracies(a: Sequence[Bools], b: Sequence[Bools], samples: int, seed: int) -> SeedDifference:
    """Of (N,) right or wrong answers a seed: the difference of accuracies."""
    difference = np.stack(a).astype(np.float64) - np.stack(b)
    images = difference.shape[1]

    def resampled(seeds: I64, weight: F64) -> float:
        return float(difference[seeds].mean(axis=0) @ weight / images)

    return difference_over_seeds(difference.mean(axis=1), resampled, images, samples, seed)


def of_mean_average_precisions(
    a: Sequence[F32], b: Sequence[F32], membership: Membership, samples: int, seed: int
) -> SeedDifference:
    """Of (N, K) scores a seed: the difference of mean average precisions, classes without an image left out.

    At most `samples` resamples, fewer where they would go through more than `MAP_WORK` scores, never fewer than 100.
    """
    n, k = a[0].shape
    by_class = membership.tocsc()
    classes = np.flatnonzero(np.diff(by_class.indptr) > 0).tolist()
    rankings = [[[ranking_of(scores, by_class, c) for c in classes] for scores in side] for side in (a, b)]

    def mean(side: int, one: int, weight: F64) -> float:
        return mean_of_known(np.array([some.average_precision(weight) for some in rankings[side][one]]))

    def resampled(seeds: I64, weight: F64) -> float:
        drawn = np.unique(seeds, return_counts=True)
        of_each = [mean(0, int(one), weight) - mean(1, int(one), weight) for one in drawn[0]]
        return float(np.average(of_each, weights=drawn[1]))

    ones = np.ones(n)
    differences = np.array([mean(0, one, ones) - mean(1, one, ones) for one in range(len(a))])
    number = int(min(samples, max(100, MAP_WORK // max(2 * len(a) * n * k, 1))))
    return difference_over_seeds(differences, resampled, n, number, seed)
