"""What is measured, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]


def correct(probabilities: F32, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """(N, K) probabilities and (N,) labels -> (N,) whether the most probable class is the label."""
    hits: npt.NDArray[np.bool_] = probabilities.argmax(axis=1) == labels
    return hits


def accuracy(probabilities: F32, labels: npt.NDArray[np.int64]) -> float:
    """Top-1 accuracy as a fraction."""
    return float(correct(probabilities, labels).mean()) if len(labels) else 0.0


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


def paired_bootstrap(
    a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_], samples: int, seed: int, level: float = 0.95
) -> PairedDifference:
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
