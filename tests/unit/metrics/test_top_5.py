"""Top-5 accuracy by sorting, image by image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.labels import LabelSpace, Membership
from csrms_dist.metrics import classification
from csrms_dist.metrics.classification import top_5

NO_CLASS = np.zeros(0, np.int64)
ROWS = st.lists(st.tuples(st.lists(st.integers(0, 3), min_size=7, max_size=7), st.integers(0, 6)), min_size=1)


def one_hot(labels: Any, classes: int) -> Membership:
    return LabelSpace(tuple(map(str, range(classes)))).membership(list(labels))


@given(ROWS)
def test_it_is_the_share_whose_class_sorts_among_the_first_five(rows: list[tuple[list[int], int]]) -> None:
    scores = np.array([row for row, _ in rows], np.float32) / np.float32(8)
    labels = [label for _, label in rows]
    found = [label in sorted(range(7), key=lambda c: (-row[c], c))[:5] for row, label in rows]
    assert top_5(scores, one_hot(labels, 7), NO_CLASS) == pytest.approx(np.mean(found))


def test_blocks_of_images_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    scores, membership = draw.random((50, 9)).astype(np.float32), one_hot(draw.integers(0, 9, 50).tolist(), 9)
    whole = top_5(scores, membership, NO_CLASS)
    monkeypatch.setattr(classification, "STEP", 7)
    assert top_5(scores, membership, NO_CLASS) == whole
    assert 0.3 < whole < 0.8


@pytest.mark.parametrize("classes", [1, 4, 5])
def test_five_classes_or_fewer_have_none(classes: int) -> None:
    """It would be 1, whatever is answered."""
    scores = np.ones((3, classes), np.float32)
    assert np.isnan(top_5(scores, one_hot([0, 0, 0], classes), NO_CLASS))


def test_neither_have_no_images() -> None:
    assert np.isnan(top_5(np.zeros((0, 8), np.float32), one_hot([], 8), NO_CLASS))


def test_a_class_that_training_never_saw_is_never_among_them() -> None:
    """Its probability is 0, and so may be those of others: a tie must not count as an answer."""
    scores = np.zeros((2, 8), np.float32)
    scores[:, 7] = 1
    membership = one_hot([0, 7], 8)
    assert top_5(scores, membership, NO_CLASS) == 1
    assert top_5(scores, membership, np.array([0])) == 0.5


def test_images_without_a_label_do_not_count() -> None:
    scores = np.eye(8, dtype=np.float32)[[0, 1, 2]]
    membership = LabelSpace(tuple("abcdefgh")).membership([0, None, 7])
    assert top_5(scores, membership, NO_CLASS) == 0.5
