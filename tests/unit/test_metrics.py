"""Accuracy by counting, and the paired interval against a bootstrap that draws images one by one."""

from __future__ import annotations

import numpy as np
import pytest

from csrms_dist.metrics import PairedDifference, accuracy, correct, paired_bootstrap


def test_accuracy_counts_the_most_probable_class() -> None:
    probabilities = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.5, 0.5]], np.float32)
    labels = np.array([1, 1, 1, 0])
    assert correct(probabilities, labels).tolist() == [True, False, True, True]
    assert accuracy(probabilities, labels) == 0.75
    assert accuracy(probabilities[:0], labels[:0]) == 0


def by_index(a: np.ndarray, b: np.ndarray, samples: int, seed: int) -> tuple[float, float]:
    """Efron's bootstrap as it is told: draw N images with replacement, many times."""
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(samples):
        rows = rng.integers(0, len(a), len(a))
        means.append(float((a[rows].astype(int) - b[rows].astype(int)).mean()))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


@pytest.mark.parametrize(("p", "q", "n"), [(0.9, 0.85, 400), (0.5, 0.6, 150), (0.99, 0.99, 1000), (0.3, 0.3, 40)])
def test_the_interval_is_that_of_resampling_images(p: float, q: float, n: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.random(n) < p, rng.random(n) < q
    found = paired_bootstrap(a, b, 20000, 0)
    low, high = by_index(a, b, 4000, 1)
    assert found.value == pytest.approx((a.sum() - b.sum()) / n)
    width = high - low
    assert found.low == pytest.approx(low, abs=0.1 * width)
    assert found.high == pytest.approx(high, abs=0.1 * width)
    assert found.low <= found.value <= found.high


def test_pairs_matter_and_not_accuracies_alone() -> None:
    """The same two accuracies: answers that differ on the same few images are surer than on any."""
    a = np.arange(200) < 150
    b = np.roll(a, 100)
    nested = np.arange(200) < 150
    wide, narrow = paired_bootstrap(a, b, 2000, 0), paired_bootstrap(a, nested, 2000, 0)
    assert wide.value == narrow.value == 0
    assert (narrow.low, narrow.high) == (0, 0)
    assert wide.high - wide.low > 0.1


def test_the_same_seed_gives_the_same_interval_and_a_wider_level_a_wider_one() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(300) < 0.8, rng.random(300) < 0.7
    assert paired_bootstrap(a, b, 1000, 3) == paired_bootstrap(a, b, 1000, 3)
    assert paired_bootstrap(a, b, 1000, 3) != paired_bootstrap(a, b, 1000, 4)
    wide, narrow = (paired_bootstrap(a, b, 1000, 3, level) for level in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_within_noise_is_whether_the_interval_covers_zero() -> None:
    assert PairedDifference(0.01, -0.01, 0.02).within_noise
    assert PairedDifference(0.01, 0.0, 0.02).within_noise
    assert not PairedDifference(0.01, 0.001, 0.02).within_noise
    assert not PairedDifference(-0.01, -0.02, -0.001).within_noise


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        shared = rng.random(300)
        found = paired_bootstrap(shared < 0.8, shared + rng.normal(0, 0.05, 300) < 0.75, 500, seed)
        hits += found.low <= 0.05 <= found.high
    assert hits > 180
