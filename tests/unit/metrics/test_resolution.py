"""Resolution by plain loops; a constant is told from a weak head that knows something."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from csrms_dist.metrics.resolution import is_constant, learnt_nothing, resolution


@given(st.lists(st.lists(st.floats(0.01, 0.99), min_size=3, max_size=3), min_size=2, max_size=20))
def test_it_is_the_share_of_the_largest_variance(rows: list[list[float]]) -> None:
    varied, most = 0.0, 0.0
    for column in zip(*rows, strict=True):
        mean = sum(column) / len(column)
        varied += sum((value - mean) ** 2 for value in column) / len(column)
        most += mean * (1 - mean)
    found = resolution(np.array(rows, np.float32))
    assert found == pytest.approx(varied / most, abs=1e-5)
    assert found is not None
    assert -1e-9 <= found <= 1 + 1e-6


def test_certain_answers_have_all_of_it_and_one_for_all_none() -> None:
    certain = np.eye(4, dtype=np.float32)[np.arange(40) % 4]
    assert resolution(certain) == pytest.approx(1)
    assert not is_constant(certain)
    assert is_constant(np.broadcast_to(np.array([0.7, 0.2, 0.1], np.float32), (500, 3)))


@pytest.mark.parametrize("classes", [3, 100])
def test_a_fresh_head_is_a_constant_and_a_weak_one_is_not(classes: int) -> None:
    draw = np.random.default_rng(0)

    def softmax(logits: np.ndarray) -> np.ndarray:
        powers = np.exp(logits)
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)

    noise = draw.normal(scale=0.02, size=(1000, classes))
    assert is_constant(softmax(noise))
    # One image in twenty is answered with its class, at a probability of a half.
    known = np.zeros((1000, classes))
    known[np.arange(0, 1000, 20), draw.integers(classes, size=50)] = np.log(classes)
    assert not is_constant(softmax(noise + known))


@pytest.mark.parametrize("scores", [np.ones((1, 3)) / 3, np.ones((5, 1)), np.zeros((5, 2)), np.zeros((0, 2))])
def test_where_nothing_can_depend_on_the_image_nothing_is_said(scores: np.ndarray) -> None:
    assert resolution(scores.astype(np.float32)) is None
    assert not is_constant(scores.astype(np.float32))


def test_one_certain_answer_for_all_is_a_constant() -> None:
    certain = np.zeros((50, 3), np.float32)
    certain[:, 1] = 1
    assert resolution(certain) is None
    assert is_constant(certain)


def test_soft_probabilities_that_answer_well_have_learnt_something() -> None:
    labels = np.arange(300) % 3
    membership = sparse.csr_matrix(np.eye(3, dtype=np.uint8)[labels])
    soft = np.full((300, 3), 1 / 3, np.float32)
    known = soft.copy()
    known[np.arange(300), labels] += 1e-3
    assert is_constant(known)
    assert not learnt_nothing(known, membership)
    unknown = soft.copy()
    unknown[np.arange(300), np.random.default_rng(0).integers(0, 3, 300)] += 1e-3
    assert is_constant(unknown)
    assert learnt_nothing(unknown, membership)
