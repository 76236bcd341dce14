"""Accuracy by pattern: which pattern a test image has, and which patterns count."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from csrms_dist.evaluation import by_pattern as room
from csrms_dist.evaluation.by_pattern import FEWEST, by_pattern, patterns_of_test
from csrms_dist.labels import LabelSpace

SPACE = LabelSpace(("a", "b"))


def made() -> tuple[dict[str, Any], Any, np.ndarray]:
    """Pattern 0 of FEWEST images, 1 of one fewer, 2 of none, 3 of twice as many; two images of no pattern."""
    pattern = np.repeat([0, 1, 3, -1], [FEWEST, FEWEST - 1, 2 * FEWEST, 2])
    labels = np.arange(len(pattern)) % 2
    plain, control = labels.copy(), labels.copy()
    plain[0] = 1 - labels[0]
    plain[FEWEST:-2][: FEWEST - 1] = 1 - labels[FEWEST:-2][: FEWEST - 1]  # all of the pattern that is too small
    control[pattern == 3] = 0
    one_hot = np.eye(2, dtype=np.float32)
    return {"plain": one_hot[plain], "control": one_hot[control]}, SPACE.membership(labels.tolist()), pattern


def test_patterns_of_few_images_are_listed_and_count_in_no_mean() -> None:
    found = by_pattern(*made(), 4)
    assert found["images"] == [FEWEST, FEWEST - 1, 0, 2 * FEWEST]
    assert found["accuracy"] == [1 - 1 / FEWEST, 0, None, 1]
    assert (found["counted"], found["counted_images"]) == (2, 3 * FEWEST)
    assert found["mean"] == {"plain": pytest.approx(1 - 1 / FEWEST / 2), "control": pytest.approx(0.75)}
    assert found["worst"] == {"plain": pytest.approx(1 - 1 / FEWEST), "control": 0.5}


def test_where_no_pattern_has_enough_there_is_no_mean() -> None:
    heads, membership, pattern = made()
    few = {head: scores[:2] for head, scores in heads.items()}
    found = by_pattern(few, membership[:2], pattern[:2], 4)
    assert found["counted"] == 0
    assert found["mean"] == found["worst"] == {"plain": None, "control": None}
    nothing = by_pattern({"plain": heads["plain"][:0]}, membership[:0], pattern[:0], 2)
    assert (nothing["images"], nothing["accuracy"]) == ([0, 0], [None, None])


def test_very_many_patterns_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LISTED", 3)
    found = by_pattern(*made(), 4)
    assert (found["images"], found["accuracy"], found["counted"]) == (None, None, 2)


def test_of_several_labels_a_hit_is_any_of_them_and_images_without_one_do_not_count() -> None:
    space = LabelSpace(("a", "b"), multi_label=True)
    membership = space.membership([[0, 1], [1], [0], [1], [], [0]])
    scores = np.array([[0.9, 0.8]] * 6, np.float32)
    found = by_pattern({"plain": scores}, membership, np.zeros(6, np.int64), 1)
    assert found["images"] == [5]
    assert found["accuracy"] == [pytest.approx(3 / 5)]


def test_test_images_lie_behind_those_of_training() -> None:
    """Held-out rows are validation images, then test images by their index among all; a later part is another row."""
    table = SimpleNamespace(instance=np.array([2, 10, 12, 12, 13]), part=np.array([0, 0, 0, 1, 0]))
    places = SimpleNamespace(pattern=np.array([7, 5, 3, 9, 4], np.int32))
    run: Any = SimpleNamespace(
        test_images=range(4), train_images=range(10), held_out_by_row=table, held_out_places=places
    )
    assert patterns_of_test(run).tolist() == [5, -1, 3, 4]
    run.held_out_by_row = None
    assert patterns_of_test(run).tolist() == [-1] * 4
