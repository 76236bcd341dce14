"""Metrics of a head: the headline, further ones by name, and a user's own that fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from csrms_dist.errors import ConfigError
from csrms_dist.evaluation.classifier import Predictions
from csrms_dist.evaluation.scores import Scores, check_metrics
from csrms_dist.labels import LabelSpace

SPACE = LabelSpace(("a", "b"))
SCORES = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], np.float32)
MEMBERSHIP = SPACE.membership([0, 1, 1])
NOBODY = np.zeros(0, np.int64)

OWN = """
def half(scores, membership, unseen): return 0.5
def nothing(scores, membership, unseen): return float("inf")
def failing(scores, membership, unseen): return 1 / 0
def two(scores, membership): return 1.0
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_metrics.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "own_metrics"


def test_one_label_has_accuracy_for_its_headline() -> None:
    scores = Scores(SPACE, NOBODY)
    assert scores.of(Predictions({"plain": SCORES}), MEMBERSHIP) == {"plain": pytest.approx(2 / 3)}
    assert scores.more == ["top_5", "nll", "ece", "mean_of_classes", "worst_classes"]
    assert Scores(LabelSpace(("a", "b"), multi_label=True), NOBODY).more == [
        "label_set_nll", "binary_ece", "worst_classes_mAP",
    ]  # fmt: skip


def test_what_cannot_be_told_is_null_and_what_can_is_a_number() -> None:
    found = Scores(SPACE, NOBODY).more_of({"plain": SCORES}, MEMBERSHIP)["plain"]
    assert found["top_5"] is None, "of two classes"
    assert found["nll"] == pytest.approx(-np.log([0.9, 0.8, 0.4]).mean())
    assert found["worst_classes"] == 0.5
    nothing = Scores(SPACE, NOBODY).more_of({"plain": SCORES[:0]}, MEMBERSHIP[:0])
    assert set(nothing["plain"].values()) == {None}
    several = Scores(LabelSpace(("a", "b"), multi_label=True), NOBODY)
    assert set(several.more_of({"plain": SCORES[:0]}, MEMBERSHIP[:0])["plain"].values()) == {None}


def test_further_metrics_stand_beside_it(own: str) -> None:
    scores = Scores(SPACE, NOBODY, f"{own}:half, {own}:nothing")
    found = scores.more_of({"plain": SCORES}, MEMBERSHIP)["plain"]
    assert list(found)[-2:] == [f"{own}:half", f"{own}:nothing"]
    assert (found[f"{own}:half"], found[f"{own}:nothing"]) == (0.5, None)


def test_one_that_is_asked_for_and_standard_is_there_once() -> None:
    assert Scores(SPACE, NOBODY, "nll, mAP").more[-2:] == ["worst_classes", "mAP"]


def test_one_that_fails_is_named(own: str) -> None:
    scores = Scores(SPACE, NOBODY, f"{own}:failing")
    with pytest.raises(ConfigError, match=r"evaluate\.more_metrics: own_metrics:failing: got 'ZeroDivisionError"):
        scores.more_of({"plain": SCORES}, MEMBERSHIP)


@pytest.mark.parametrize("name", ["accuracyy", "own_metrics:absent", "own_metrics:two"])
def test_what_is_no_metric_is_refused(own: str, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"evaluate\.more_metrics: got '{name}'"):
        check_metrics(f"accuracy, {name}")
