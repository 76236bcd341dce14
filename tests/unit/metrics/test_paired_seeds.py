"""Differences over paired seeds: the test by a plain loop, intervals where they must and must not hold 0."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from csrms_dist.metrics.paired_seeds import (
    EXACT_SEEDS,
    difference_over_seeds,
    of_accuracies,
    of_mean_average_precisions,
    sign_flip_p,
)
from csrms_dist.metrics.ranking import mean_average_precision


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=6))
def test_the_permutation_test_counts_signs(values: list[int]) -> None:
    extreme = total = 0
    for signs in itertools.product((-1, 1), repeat=len(values)):
        total += 1
        extreme += abs(sum(s * v for s, v in zip(signs, values, strict=True))) >= abs(sum(values))
    assert sign_flip_p(np.array(values, np.float64)) == extreme / total


def test_no_p_is_below_what_the_number_of_seeds_allows() -> None:
    for n in (1, 2, 4, 6):
        found = difference_over_seeds(np.full(n, 0.3) + np.arange(n) / 100, None, 0, 100, 0)
        assert found.p == found.smallest_p == 2.0 ** (1 - n)


def test_many_seeds_are_sampled() -> None:
    draw = np.random.default_rng(0)
    alike = draw.standard_normal(EXACT_SEEDS + 6)
    assert sign_flip_p(alike - alike.mean()) == 1
    assert sign_flip_p(alike + 3) < 0.001


def _answers(draw: np.random.Generator, seeds: int, images: int, right: float) -> list[np.ndarray]:
    return [draw.random(images) < right for _ in range(seeds)]


def test_the_interval_of_accuracies() -> None:
    draw = np.random.default_rng(1)
    low, high = _answers(draw, 4, 500, 0.6), _answers(draw, 4, 500, 0.8)
    better = of_accuracies(high, low, 500, 0)
    assert better.mean == pytest.approx(np.mean([a.mean() - b.mean() for a, b in zip(high, low, strict=True)]))
    errors = np.std([a.mean() - b.mean() for a, b in zip(high, low, strict=True)], ddof=1) / 2
    assert better.error == pytest.approx(errors)
    assert 0 < better.low < better.mean < better.high
    alike = of_accuracies(_answers(draw, 4, 500, 0.7), _answers(draw, 4, 500, 0.7), 500, 0)
    assert alike.low < 0 < alike.high


def test_the_interval_knows_both_images_and_seeds() -> None:
    """Equal seeds still leave the images, and equal images the seeds: each alone makes it wider than nothing."""
    one = np.arange(200) % 4 > 0
    other = np.arange(200) % 3 > 0
    images = of_accuracies([one] * 4, [other] * 4, 500, 0)
    assert images.error == 0
    assert images.high - images.low > 0.05
    ends = [np.ones(200, np.bool_), np.zeros(200, np.bool_)]
    seeds = of_accuracies(ends * 2, [np.zeros(200, np.bool_)] * 4, 500, 0)
    assert seeds.high - seeds.low > 0.4


def test_mean_average_precisions() -> None:
    draw = np.random.default_rng(2)
    labels = sparse.csr_matrix((draw.random((60, 5)) < 0.3).astype(np.uint8))
    noise = [draw.random((60, 5)).astype(np.float32) for _ in range(3)]
    good = [(scores + labels.toarray()).astype(np.float32) for scores in noise]
    found = of_mean_average_precisions(good, noise, labels, 100, 0)
    none = np.zeros(0, np.int64)
    direct = [
        mean_average_precision(a, labels, none) - mean_average_precision(b, labels, none)
        for a, b in zip(good, noise, strict=True)
    ]
    assert found.mean == pytest.approx(np.mean(direct))
    assert 0 < found.low < found.high
    alike = of_mean_average_precisions(noise, noise[::-1], labels, 100, 0)
    assert alike.low < 0 < alike.high
