"""Calibration errors by plain loops over answers and bins."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.labels import LabelSpace
from csrms_dist.metrics import calibration
from csrms_dist.metrics.calibration import binary_calibration_error, expected_calibration_error

NO_CLASS = np.zeros(0, np.int64)
SPACE, SEVERAL = LabelSpace(("a", "b", "c")), LabelSpace(("a", "b", "c"), multi_label=True)
ROWS = st.lists(
    st.tuples(st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3), st.sets(st.integers(0, 2))), min_size=1
)


def by_loops(answers: list[tuple[float, bool]]) -> float:
    """Guo et al. (2017), eq. 3, for 15 bins ((m - 1) / 15, m / 15]."""
    error = 0.0
    for m in range(1, 16):
        inside = [(p, right) for p, right in answers if max(math.ceil(p * 15), 1) == m]
        if inside:
            accuracy = sum(right for _, right in inside) / len(inside)
            confidence = sum(p for p, _ in inside) / len(inside)
            error += len(inside) / len(answers) * abs(accuracy - confidence)
    return error


@given(ROWS)
def test_the_most_probable_class_is_right_as_often_as_it_says(rows: Any) -> None:
    scores = np.array([row for row, _ in rows], np.float32)
    labels = [min(found, default=1) for _, found in rows]
    answers = [(float(max(row)), int(np.argmax(row)) == label) for row, label in zip(scores, labels, strict=True)]
    found = expected_calibration_error(scores, SPACE.membership(labels), NO_CLASS)
    assert found == pytest.approx(by_loops(answers), abs=1e-9)


@given(ROWS)
def test_each_class_of_several_is_there_as_often_as_it_says(rows: Any) -> None:
    scores = np.array([row for row, _ in rows], np.float32)
    answers = [
        (float(p), k in labels) for row, (_, labels) in zip(scores, rows, strict=True) for k, p in enumerate(row)
    ]
    membership = SEVERAL.membership([sorted(labels) for _, labels in rows])
    assert binary_calibration_error(scores, membership, NO_CLASS) == pytest.approx(by_loops(answers), abs=1e-9)


def test_certain_and_right_is_perfect_certain_and_wrong_the_worst() -> None:
    scores = np.eye(3, dtype=np.float32)
    assert expected_calibration_error(scores, SPACE.membership([0, 1, 2]), NO_CLASS) == 0
    assert expected_calibration_error(scores, SPACE.membership([1, 2, 0]), NO_CLASS) == 1
    assert binary_calibration_error(scores, SEVERAL.membership([[0], [1], [2]]), NO_CLASS) == 0
    assert binary_calibration_error(1 - scores, SEVERAL.membership([[0], [1], [2]]), NO_CLASS) == 1
    assert expected_calibration_error(np.ones((2, 1), np.float32), LabelSpace(("a",)).membership([0, 0]), NO_CLASS) == 0


def test_images_of_classes_never_seen_are_wrong_and_such_classes_no_answers_of_several() -> None:
    scores = np.array([[1, 0, 0], [1, 0, 0]], np.float32)
    assert expected_calibration_error(scores, SPACE.membership([0, 2]), np.array([2])) == 0.5
    assert binary_calibration_error(scores, SEVERAL.membership([[0, 2], [0, 2]]), np.array([2])) == 0


def test_images_without_a_label_do_not_count() -> None:
    scores = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    assert expected_calibration_error(scores, SPACE.membership([0, None]), NO_CLASS) == 0


def test_without_an_image_there_is_none() -> None:
    nothing = np.zeros((0, 3), np.float32)
    assert np.isnan(expected_calibration_error(nothing, SPACE.membership([]), NO_CLASS))
    assert np.isnan(binary_calibration_error(nothing, SEVERAL.membership([]), NO_CLASS))
    assert np.isnan(binary_calibration_error(np.ones((1, 3), np.float32), SEVERAL.membership([[0]]), np.arange(3)))


def test_blocks_of_images_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    scores, labels = draw.random((20, 3)).astype(np.float32), [[int(k)] for k in draw.integers(0, 3, 20)]
    whole = binary_calibration_error(scores, SEVERAL.membership(labels), NO_CLASS)
    monkeypatch.setattr(calibration, "BLOCK", 10)
    assert binary_calibration_error(scores, SEVERAL.membership(labels), NO_CLASS) == pytest.approx(whole, rel=1e-9)
