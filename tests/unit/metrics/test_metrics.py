"""Accuracy by counting, and the paired interval against a bootstrap that draws images one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, confusion_matrix

from csrms_dist.labels import LabelSpace
from csrms_dist.metrics.classification import class_accuracies, confusion, imbalance, top_accuracy, top_hits
from csrms_dist.metrics.intervals import PairedDifference, paired_bootstrap, paired_bootstrap_map
from csrms_dist.metrics.ranking import average_precisions, mean_of_known, precision_recall_at, ranking_of


def test_accuracy_counts_the_most_probable_class() -> None:
    probabilities = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.5, 0.5]], np.float32)
    labels = LabelSpace(("a", "b")).membership([1, 1, 1, 0])
    assert top_hits(probabilities, labels).tolist() == [True, False, True, True]
    assert top_accuracy(probabilities, labels) == 0.75
    assert top_accuracy(probabilities[:0], labels[:0]) == 0


multi = st.integers(1, 6).flatmap(
    lambda k: st.lists(
        st.tuples(
            st.lists(st.integers(0, 4), min_size=k, max_size=k),
            st.lists(st.integers(0, k - 1), max_size=k, unique=True),
        ),
        min_size=1,
        max_size=12,
    )
)


def table(rows: list[tuple[list[int], list[int]]]) -> tuple[np.ndarray, Any, list[set[int]]]:
    scores = np.array([score for score, _ in rows], np.float32) / 4
    space = LabelSpace(tuple(str(k) for k in range(scores.shape[1])), multi_label=True)
    return scores, space.membership([labels for _, labels in rows]), [set(labels) for _, labels in rows]


@given(multi, st.integers(1, 7))
def test_precision_and_recall_count_over_images_with_labels(rows: Any, k: int) -> None:
    scores, membership, sets = table(rows)
    precisions, recalls = [], []
    for score, labels in zip(scores, sets, strict=True):
        if labels:
            width = min(k, len(score))
            best = sorted(range(len(score)), key=lambda c: (-score[c], c))[:width]
            found = sum(c in labels for c in best)
            precisions.append(found / width)
            recalls.append(found / len(labels))
    expected = (np.mean(precisions), np.mean(recalls)) if precisions else (0.0, 0.0)
    assert precision_recall_at(scores, membership, k) == pytest.approx(expected)
    assert top_accuracy(scores, membership) == pytest.approx(precision_recall_at(scores, membership, 1)[0])


@given(multi)
def test_average_precision_is_that_of_scikit_learn_ties_included(rows: Any) -> None:
    scores, membership, _ = table(rows)
    dense = membership.toarray()
    for k, found in enumerate(average_precisions(scores, membership)):
        if dense[:, k].any():
            assert found == pytest.approx(average_precision_score(dense[:, k], scores[:, k]))
            weighted = ranking_of(scores, membership.tocsc(), k).average_precision(np.ones(len(scores)))
            assert found == pytest.approx(weighted, rel=1e-12)
        else:
            assert np.isnan(found)


def test_a_mean_leaves_out_classes_without_an_image() -> None:
    assert mean_of_known(np.array([0.5, np.nan, 1.0])) == 0.75
    assert mean_of_known(np.array([np.nan])) == 0


def test_the_interval_of_a_map_is_that_of_resampling_images() -> None:
    rng = np.random.default_rng(0)
    n, k = 60, 3
    dense = rng.random((n, k)) < 0.4
    a, b = (dense * strength + rng.random((n, k)) for strength in (0.9, 0.5))
    a, b = a.astype(np.float32), b.astype(np.float32)
    space = LabelSpace(("a", "b", "c"), multi_label=True)
    membership = space.membership([np.flatnonzero(row).tolist() for row in dense])
    found = paired_bootstrap_map(a, b, membership, 1500, 0)

    def mean_ap(scores: np.ndarray, rows: np.ndarray) -> float:
        return float(np.mean([average_precision_score(dense[rows, c], scores[rows, c]) for c in range(k)]))

    draws = [rng.integers(0, n, n) for _ in range(300)]
    low, high = np.quantile([mean_ap(a, rows) - mean_ap(b, rows) for rows in draws], [0.025, 0.975])
    everything = np.arange(n)
    assert found.value == pytest.approx(mean_ap(a, everything) - mean_ap(b, everything))
    assert found.low == pytest.approx(low, abs=0.2 * (high - low))
    assert found.high == pytest.approx(high, abs=0.2 * (high - low))
    assert found == paired_bootstrap_map(a, b, membership, 1500, 0)


def test_the_confusion_matrix_has_true_classes_as_rows() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 3, 50), rng.random((50, 4)).astype(np.float32)
    membership = LabelSpace(tuple("abcd")).membership(labels.tolist())
    matrix = confusion(scores, membership)
    assert np.array_equal(matrix, confusion_matrix(labels, scores.argmax(axis=1), labels=range(4)))
    found = class_accuracies(matrix)
    for k in range(3):
        assert found[k] == pytest.approx((scores[labels == k].argmax(axis=1) == k).mean())
    assert np.isnan(found[3])


def test_imbalance_compares_the_largest_class_with_the_smallest() -> None:
    space = LabelSpace(("a", "b", "c"))
    assert imbalance(space.membership([0, 0, 0, 1, 2, 2])) == {
        "counts": [3, 1, 2], "largest": 3, "smallest": 1, "ratio": 3.0,
    }  # fmt: skip
    assert imbalance(space.membership([0, 0, 1]))["ratio"] is None


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
