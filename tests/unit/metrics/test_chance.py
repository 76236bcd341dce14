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
    constants = [np.mean(labels == answer) for answer in range(4)]
    assert found.best_constant == pytest.approx(max(constants))
    assert found.chance <= found.best_constant + 1e-12
    tails = binomial_tails(len(labels), found.chance)
    if len(set(labels.tolist())) == 1:
        assert (found.visible, found.p_value, found.told, found.shows_from) == (None, 1, 0, None)
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


SKEWED = [
    ([0.1] * 10, 0),
    ([0.9, 0.08, 0.02], 0),  # the frequent class is answered
    ([0.9, 0.08, 0.02], 2),  # a rare one
    ([0.5, 0.5, 0.0], 2),  # one that no image has
    ([0.01] * 100, 3),
]


@pytest.mark.parametrize(("shares", "answer"), SKEWED)
@pytest.mark.parametrize("told", [0.0, 0.5, 1.0])
def test_the_share_of_labels_that_was_told_is_found_again(shares: list[float], answer: int, told: float) -> None:
    draw = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(shares)), np.round(np.array(shares) * 2000).astype(int))
    membership, found = one_hot(labels, len(shares)), []
    for _ in range(20):
        answers = np.where(draw.random(len(labels)) < told, labels, answer)
        found.append(hits_above_chance(answers, membership, LEVEL).told)
    assert np.mean(found) == pytest.approx(told, abs=0.02)


@pytest.mark.parametrize(("shares", "answer"), SKEWED)
@pytest.mark.parametrize("n", [100, 200, 2000])
def test_a_leak_of_the_share_that_is_said_to_show_does(shares: list[float], answer: int, n: int) -> None:
    """About every second time at that share, nearly always at twice as much, and seldom at a quarter."""
    draw = np.random.default_rng(n)
    labels = np.repeat(np.arange(len(shares)), np.round(np.array(shares) * n).astype(int))
    membership = one_hot(labels, len(shares))
    before = np.full(len(labels), answer)
    shows_from = hits_above_chance(before, membership, LEVEL).shows_from
    assert shows_from is not None

    def found(share: float) -> float:
        told = int(np.ceil(min(share, 1) * len(labels) - 1e-9))
        called = []
        for _ in range(60):
            answers = before.copy()
            rows = draw.permutation(len(labels))[:told]
            answers[rows] = labels[rows]
            called.append(hits_above_chance(answers, membership, LEVEL).p_value <= LEVEL)
        return float(np.mean(called))

    assert found(shows_from) > 0.2
    assert found(2 * shows_from) > 0.8
    if shows_from * len(labels) >= 8:  # below, a single hit that nobody expects decides
        assert found(shows_from / 4) < 0.2


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
    assert found.best_constant == pytest.approx(found.score)
    assert (found.p_value, found.told, found.shows_from) == (1, 0, None)


def test_a_ranking_told_a_tenth_of_the_labels_is_found_and_one_without_is_not() -> None:
    dense, membership, draw = several(300, 1)
    noise = draw.random((300, 4)).astype(np.float32)
    assert mean_precision_above_chance(noise, membership, LEVEL, 0).p_value > LEVEL
    told = noise + np.where(np.arange(300)[:, None] % 10 == 0, dense, 0).astype(np.float32)
    found = mean_precision_above_chance(told, membership, LEVEL, 0)
    assert found.p_value <= LEVEL
    assert found.visible is not None
    assert found.score >= found.visible > found.chance
    assert found.shows_from is not None
    assert found.told >= found.shows_from > 0
    assert found.told == pytest.approx((found.score - found.chance) / (1 - found.chance))


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
    assert (found.visible, found.shows_from) == (None, None)


@pytest.mark.parametrize("answered", [0, 1])
def test_images_of_one_class_show_nothing(answered: int) -> None:
    membership = one_hot(np.zeros(500, int), 2)
    found = hits_above_chance(np.full(500, answered), membership, LEVEL)
    assert (found.score, found.p_value, found.visible) == (1 - answered, 1.0, None)
    scores = np.random.default_rng(0).random((500, 2)).astype(np.float32)
    ranked = mean_precision_above_chance(scores, membership, LEVEL, 0)
    assert (ranked.score, ranked.p_value, ranked.visible) == (1.0, 1.0, None)
