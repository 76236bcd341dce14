"""Negative log-likelihood by plain loops, in exact arithmetic where the floats end."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.labels import LabelSpace
from csrms_dist.metrics import likelihood
from csrms_dist.metrics.likelihood import label_set_cost, negative_log_likelihood

NO_CLASS = np.zeros(0, np.int64)
SPACE, SEVERAL = LabelSpace(("a", "b", "c")), LabelSpace(("a", "b", "c"), multi_label=True)
LOGITS = st.lists(
    st.tuples(st.lists(st.floats(-15, 15, width=32), min_size=3, max_size=3), st.sets(st.integers(0, 2))), min_size=1
)


@given(LOGITS)
def test_one_label_costs_the_log_of_its_probability(rows: Any) -> None:
    logits, labels = np.array([row for row, _ in rows]), [min(found, default=1) for _, found in rows]
    scores = torch.from_numpy(logits).float().softmax(dim=1).numpy()
    # From the logits in float64, by log-sum-exp: what the float32 probabilities stand for.
    exact = [
        max(row) + math.log(sum(math.exp(x - max(row)) for x in row)) - row[label]
        for row, label in zip(logits.tolist(), labels, strict=True)
    ]
    found = negative_log_likelihood(scores, SPACE.membership(labels), NO_CLASS)
    assert found == pytest.approx(sum(exact) / len(exact), rel=1e-5, abs=1e-6)


@given(LOGITS)
def test_a_label_set_costs_the_sum_over_classes(rows: Any) -> None:
    logits = np.array([row for row, _ in rows])
    scores = torch.from_numpy(logits).float().sigmoid().numpy()
    total = 0.0
    for row, labels in zip(scores.tolist(), (labels for _, labels in rows), strict=True):
        for k, p in enumerate(row):
            total -= math.log(p) if k in labels else math.log(1 - p)
    membership = SEVERAL.membership([sorted(labels) for _, labels in rows])
    assert label_set_cost(scores, membership, NO_CLASS) == pytest.approx(total / len(rows), rel=1e-9)


def test_a_certain_error_costs_much_and_not_infinitely() -> None:
    wrong = np.array([[1, 0, 0]], np.float32)
    assert negative_log_likelihood(wrong, SPACE.membership([1]), NO_CLASS) == pytest.approx(87.3365, abs=1e-4)
    assert negative_log_likelihood(wrong, SPACE.membership([0]), NO_CLASS) == 0
    # Class a is not there and has probability 1; b is there and has probability 0.
    assert label_set_cost(wrong, SEVERAL.membership([[1]]), NO_CLASS) == pytest.approx(25 * math.log(2) + 87.3365)


@pytest.mark.parametrize("gap", [80.0, 88.0, 95.0, 110.0, 1e4])
def test_where_floats_end_it_never_costs_more_than_it_should(gap: float) -> None:
    logits = torch.tensor([[gap, 0.0, -1e5]])
    found = negative_log_likelihood(logits.softmax(dim=1).numpy(), SPACE.membership([1]), NO_CLASS)
    assert found == pytest.approx(min(gap, 87.3365), rel=1e-5)
    several = torch.tensor([[gap, -gap, -1e5]]).sigmoid().numpy()
    assert label_set_cost(several, SEVERAL.membership([[0]]), NO_CLASS) == pytest.approx(0, abs=1e-7)
    assert label_set_cost(several, SEVERAL.membership([[1]]), NO_CLASS) <= 2 * gap


def test_classes_that_training_never_saw_are_left_out() -> None:
    scores = np.array([[0.5, 0.5, 0], [0.25, 0.75, 0]], np.float32)
    never = np.array([2])
    assert negative_log_likelihood(scores, SPACE.membership([2, 0]), never) == pytest.approx(-math.log(0.25))
    assert np.isnan(negative_log_likelihood(scores, SPACE.membership([2, 2]), never))
    found = label_set_cost(scores, SEVERAL.membership([[0, 2], [2]]), never)
    assert found == pytest.approx(-(2 * math.log(0.5) + math.log(0.75) + math.log(0.25)) / 2)


def test_without_an_image_there_is_none() -> None:
    nothing = np.zeros((0, 3), np.float32)
    assert np.isnan(negative_log_likelihood(nothing, SPACE.membership([]), NO_CLASS))
    assert np.isnan(label_set_cost(nothing, SEVERAL.membership([]), NO_CLASS))
    assert np.isnan(label_set_cost(np.ones((2, 3), np.float32), SEVERAL.membership([[0], []]), np.arange(3)))


def test_a_single_class_costs_nothing() -> None:
    assert negative_log_likelihood(np.ones((4, 1), np.float32), LabelSpace(("a",)).membership([0] * 4), NO_CLASS) == 0


def test_blocks_of_images_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    scores, labels = draw.random((20, 3)).astype(np.float32), [[int(k)] for k in draw.integers(0, 3, 20)]
    whole = label_set_cost(scores, SEVERAL.membership(labels), NO_CLASS)
    monkeypatch.setattr(likelihood, "BLOCK", 10)
    assert label_set_cost(scores, SEVERAL.membership(labels), NO_CLASS) == pytest.approx(whole, rel=1e-12)
