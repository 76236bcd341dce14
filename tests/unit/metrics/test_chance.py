"""Scores against chance: exact tails by counting, false alarms by dealing, leaks found and missed."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.labels import LabelSpace, Membership
from csrms_dist.metrics.chance import LEVEL, binomial_tails, hits_above_chance, mean_precision_above_chance
from csrms_dist.metrics.ranking import mean_average_precision

NO_CLASS = np.zeros(0, np.int64)


def one_hot(labels: np.ndarray, classes: int) -> Membership:
    return LabelSpace(tuple(map(str, range(classes)))).membership(labels.tolist())


@given(st.integers(1, 30), st.floats(0, 1))
def test_tails_are_sums_of_binomial_terms(n: int, p: float) -> None:
    terms = [comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    assert binomial_tails(n, p) == pytest.approx([sum(terms[k:]) for k in range(n + 1)], abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_chance_is_the_mean_over_all_ways_to_deal_the_answers(pairs: list[tuple[int, int]]) -> None:
    labels, answers = (np.array(column) for column in zip(*pairs, strict=True))
    found = hits_above_chance(answers, one_hot(labels, 4), LEVEL)
    assert found.score == pytest.approx(np.mean(labels == answers))
    assert found.chance == pytest.approx(np.mean([[a == b for b in labels] for a in answers]))
    assert found.chance <= np.bincount(labels).max() / len(labels) + 1e-12
    tails = binomial_tails(len(labels), found.chance)
    if len(set(labels.tolist())) == 1:
        assert (found.visible, found.p_value) == (None, 1)
    elif found.visible is None:
        assert tails[-1] > LEVEL
    else:
        least = round(found.visible * len(labels))
        assert tails[least] <= LEVEL < tails[least - 1]
        assert (found.p_value <= LEVEL) == (found.score >= found.visible - 1e-12)


@pytest.mark.parametrize(("shares", "answered"), [([0.1] * 10, [0.1] * 10), ([0.7, 0.2, 0.1], [0.3, 0.4, 0.3])])
@pytest.mark.parametrize("n", [20, 200])
def test_answers_dealt_at_random_are_rarely_called_better(shares: list[float], answered: list[float], n: int) -> None:
    draw = np.random.default_rng(n)
    labels = np.repeat(np.arange(len(shares)), np.round(np.array(shares) * n).astype(int))
    answers = draw.choice(len(shares), len(labels), p=answered)
    called = [
        hits_above_chance(draw.permutation(answers), one_hot(labels, len(shares)), LEVEL).p_value <= LEVEL
        for _ in range(1500)
    ]
    # 1,500 checks at 1 %: 15 in the mean, with a standard deviation of 3.9.
    assert np.mean(called) < 0.02


def test_a_leak_below_the_largest_class_is_found() -> None:
    """90 % of one class; the head is told a label in five and answers the rare class to everything else."""
    labels = (np.arange(1000) % 10 == 0).astype(int)
    answers = np.where(np.arange(1000) // 10 % 5 == 0, labels, 1)
    found = hits_above_chance(answers, one_hot(labels, 2), LEVEL)
    assert found.score < 0.9
    assert found.p_value <= LEVEL


def several(n: int, seed: int) -> tuple[np.ndarray, Membership, np.random.Generator]:
    draw = np.random.default_rng(seed)
    dense = draw.random((n, 4)) < np.array([0.7, 0.2, 0.1, 0.05])
    space = LabelSpace(tuple("abcd"), multi_label=True)
    return dense, space.membership([np.flatnonzero(row).tolist() for row in dense]), draw


def test_one_ranking_for_all_images_is_exactly_chance() -> None:
    _, membership, _ = several(300, 0)
    scores = np.broadcast_to(np.array([0.7, 0.2, 0.1, 0.05], np.float32), (300, 4))
    found = mean_precision_above_chance(scores, membership, LEVEL, 0)
    assert found.score == pytest.approx(mean_average_precision(scores, membership, NO_CLASS))
    assert found.chance == pytest.approx(found.score)
    assert found.p_value == 1


def test_a_ranking_told_a_tenth_of_the_labels_is_found_and_one_without_is_not() -> None:
    dense, membership, draw = several(300, 1)
    noise = draw.random((300, 4)).astype(np.float32)
    assert mean_precision_above_chance(noise, membership, LEVEL, 0).p_value > LEVEL
    told = noise + np.where(np.arange(300)[:, None] % 10 == 0, dense, 0).astype(np.float32)
    found = mean_precision_above_chance(told, membership, LEVEL, 0)
    assert found.p_value <= LEVEL
    assert found.visible is not None
    assert found.score >= found.visible > found.chance


def test_dealt_label_sets_are_rarely_called_better() -> None:
    dense, _, draw = several(60, 2)
    space = LabelSpace(tuple("abcd"), multi_label=True)
    scores, called = draw.random((60, 4)).astype(np.float32), []
    for seed in range(60):
        rows = dense[draw.permutation(60)]
        membership = space.membership([np.flatnonzero(row).tolist() for row in rows])
        called.append(mean_precision_above_chance(scores, membership, 0.1, seed).p_value <= 0.1)
    assert np.mean(called) < 0.25


def test_few_images_cannot_show_a_ranking_told_everything() -> None:
    space = LabelSpace(("a", "b"), multi_label=True)
    membership = space.membership([[0], [1], [0]])
    found = mean_precision_above_chance(membership.toarray().astype(np.float32), membership, LEVEL, 0)
    assert found.score == 1
    assert found.p_value > LEVEL
    assert found.visible is None


@pytest.mark.parametrize("answered", [0, 1])
def test_images_of_one_class_show_nothing(answered: int) -> None:
    membership = one_hot(np.zeros(500, int), 2)
    found = hits_above_chance(np.full(500, answered), membership, LEVEL)
    assert (found.score, found.p_value, found.visible) == (1 - answered, 1.0, None)
    scores = np.random.default_rng(0).random((500, 2)).astype(np.float32)
    ranked = mean_precision_above_chance(scores, membership, LEVEL, 0)
    assert (ranked.score, ranked.p_value, ranked.visible) == (1.0, 1.0, None)
