"""Accuracies of classes and patterns by counting, and the worst tenth by sorting."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from csrms_dist.labels import LabelSpace
from csrms_dist.metrics.groups import (
    mean_of_classes,
    mean_of_groups,
    pattern_shares,
    worst_classes,
    worst_classes_precision,
    worst_tenth,
)

NO_CLASS = np.zeros(0, np.int64)


@given(st.lists(st.one_of(st.just(math.nan), st.floats(0, 1)), max_size=45))
def test_the_worst_tenth_is_rounded_up(values: list[float]) -> None:
    known = sorted(value for value in values if not math.isnan(value))
    found = worst_tenth(np.array(values, np.float64))
    if not known:
        assert math.isnan(found)
    else:
        worst = known[: math.ceil(len(known) / 10)]
        assert len(worst) >= 1
        assert found == pytest.approx(sum(worst) / len(worst))
        assert found <= mean_of_groups(np.array(values)) + 1e-12


@pytest.mark.parametrize(("groups", "worst"), [(1, 1), (10, 1), (11, 2), (20, 2), (100, 10), (172, 18)])
def test_a_tenth_of_groups(groups: int, worst: int) -> None:
    assert worst_tenth(np.arange(groups, dtype=np.float64)[::-1]) == (worst - 1) / 2


def test_classes_by_counting() -> None:
    draw = np.random.default_rng(0)
    labels, scores = draw.integers(0, 23, 400), draw.random((400, 25)).astype(np.float32)
    scores[np.arange(400), labels] += draw.random(400)
    membership = LabelSpace(tuple(map(str, range(25)))).membership(labels.tolist())
    right = scores.argmax(axis=1) == labels
    shares = sorted(right[labels == k].mean() for k in range(23))  # two classes have no image
    assert worst_classes(scores, membership, NO_CLASS) == pytest.approx(np.mean(shares[:3]))
    assert mean_of_classes(scores, membership, NO_CLASS) == pytest.approx(np.mean(shares))
    answered = np.where(right, labels, (labels + 1) % 23)
    assert np.mean(shares) == pytest.approx(balanced_accuracy_score(labels, answered))


def test_of_several_labels_the_precisions_of_the_worst_classes() -> None:
    draw = np.random.default_rng(1)
    dense, scores = draw.random((80, 12)) < 0.3, draw.random((80, 12)).astype(np.float32)
    dense[:, 5] = False
    space = LabelSpace(tuple(map(str, range(12))), multi_label=True)
    membership = space.membership([np.flatnonzero(row).tolist() for row in dense])
    known = sorted(average_precision_score(dense[:, k], scores[:, k]) for k in range(12) if k != 5)
    assert worst_classes_precision(scores, membership, NO_CLASS) == pytest.approx(np.mean(known[:2]))
    # A class that training never saw counts 0, one without an image does not count.
    others = sorted(average_precision_score(dense[:, k], scores[:, k]) for k in range(12) if k not in (3, 5))
    found = worst_classes_precision(scores, membership, np.array([3, 5]))
    assert found == pytest.approx((0 + others[0]) / 2)


def test_nothing_is_known_without_images() -> None:
    space = LabelSpace(("a", "b"))
    nothing = np.zeros((0, 2), np.float32)
    assert np.isnan(worst_classes(nothing, space.membership([]), NO_CLASS))
    assert np.isnan(mean_of_classes(nothing, space.membership([]), NO_CLASS))
    assert np.isnan(worst_classes_precision(nothing, LabelSpace(("a", "b"), multi_label=True).membership([]), NO_CLASS))


def test_a_single_class_is_its_own_worst() -> None:
    assert worst_classes(np.ones((3, 1), np.float32), LabelSpace(("a",)).membership([0, 0, 0]), NO_CLASS) == 1


PATTERNS = st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 2), st.sets(st.integers(0, 2))), min_size=1)


@given(PATTERNS)
def test_patterns_by_counting(rows: Any) -> None:
    pattern, answers = np.array([p for p, *_ in rows]), [a for _, a, _ in rows]
    space = LabelSpace(("a", "b", "c"), multi_label=True)
    scores = np.eye(3, dtype=np.float32)[answers]
    shares, images = pattern_shares(scores, space.membership([sorted(own) for *_, own in rows]), pattern, 4)
    for k in range(4):
        right = [answer in own for p, answer, own in rows if p == k and own]
        assert images[k] == len(right)
        assert shares[k] == pytest.approx(np.mean(right)) if right else np.isnan(shares[k])
