"""Nothing leaks through the default reading's graph, and the check that says so fails for the paper's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.evaluation.leak_check import LeakCheck, blank_answers, judged, leak_figures
from csrms_dist.evaluation.report import leak_line
from csrms_dist.labels import LabelSpace
from csrms_dist.metrics.chance import LEVEL
from csrms_dist.training.loop import fit
from csrms_dist.training.settings import OptimiserSettings
from tests.unit.csrms_made import settings_of


@pytest.fixture(scope="module", params=["structural", "paper"])
def trained(request: pytest.FixtureRequest, digits_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(reading, classifier, bank, history) after a few epochs."""
    method, sampler = digits_run.csrms(request.param)
    n = len(digits_run.data)
    history = fit(
        method, digits_run.data, OptimiserSettings(batch_size=32, lr=0.05), n_images=5 * n, seed=0, sampler=sampler
    )
    folder = tmp_path_factory.mktemp(request.param) / "train"
    bank = digits_run.save(folder, method, request.param)
    return request.param, Classifier(folder), bank, history


def check(digits_run: Any, trained: Any, rows: slice = slice(None)) -> LeakCheck:
    reading, classifier, bank, _ = trained
    table = digits_run.table
    labels = table.membership[table.indices("val")[rows]]
    _, sampling = settings_of(reading)
    return judged(blank_answers(classifier, labels, digits_run.graph, bank, sampling, 0), labels, False, 0)


def test_blank_images_are_answered_right_where_the_graph_gives_the_label_away(digits_run: Any, trained: Any) -> None:
    found = check(digits_run, trained)
    if trained[0] == "paper":
        assert found.found.score > 0.9
        assert found.found.p_value < 1e-9
        assert not found.one_answer
    else:
        assert found.one_answer
        assert found.found.score == pytest.approx(found.found.chance)
        assert found.found.p_value > LEVEL


def test_a_ranking_of_several_labels_is_judged_by_dealing(digits_run: Any, trained: Any) -> None:
    """The same answers, as if each image might have had several labels."""
    reading, classifier, bank, _ = trained
    labels = digits_run.table.membership[digits_run.table.indices("val")]
    scores = blank_answers(classifier, labels, digits_run.graph, bank, settings_of(reading)[1], 0)
    found = judged(scores, labels, True, 0)
    assert (found.found.p_value <= LEVEL) == (reading == "paper")


def test_both_readings_learn(trained: Any) -> None:
    """So the check does not pass because nothing was learnt."""
    history = trained[3]
    assert history[-1]["plain_accuracy"] > 0.9
    assert history[-1]["graph_accuracy"] > 0.8


def test_one_image_shows_nothing(digits_run: Any, trained: Any) -> None:
    found = check(digits_run, trained, slice(0, 1))
    assert (found.images, found.one_answer, found.found.visible) == (1, False, None)
    assert found.found.p_value > LEVEL


SEVERAL, ONE = LabelSpace(tuple("abcde"), multi_label=True), LabelSpace(tuple("abcde"))


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize(
    ("images", "told", "verdict"),
    [
        (1, 1.0, "cannot tell"),
        (2, 1.0, "cannot tell"),
        (300, 0.0, "no leak to be seen"),
        (300, 0.5, "gives the label away"),
        (300, 1.0, "gives the label away"),
        (2000, 0.15, "gives the label away"),
    ],
)
def test_from_answers_to_the_sentence(images: int, told: float, verdict: str, multi_label: bool) -> None:
    draw = np.random.default_rng(images)
    labels = draw.permutation(np.arange(images) % 5)
    scores = draw.random((images, 5)).astype(np.float32)
    known = np.arange(images) < told * images
    scores[known] = np.eye(5, dtype=np.float32)[labels[known]]
    space = SEVERAL if multi_label else ONE
    membership = space.membership([[int(k)] for k in labels])
    assert verdict in sentence(judged(scores, membership, multi_label, 0), multi_label)


@pytest.mark.parametrize("multi_label", [False, True])
def test_one_answer_for_all_leaks_nothing_and_for_images_alike_tells_nothing(multi_label: bool) -> None:
    space = SEVERAL if multi_label else ONE
    scores = np.broadcast_to(np.array([0.4, 0.1, 0.2, 0.2, 0.1], np.float32), (60, 5))
    differ = judged(scores, space.membership([[n % 5] for n in range(60)]), multi_label, 0)
    assert "one answer for all: nothing leaks" in sentence(differ, multi_label)
    assert differ.found.chance == pytest.approx(differ.found.best_constant) == pytest.approx(0.2)
    alike = judged(scores, space.membership([[1]] * 60), multi_label, 0)
    assert "cannot tell" in sentence(alike, multi_label)


def test_a_leak_among_the_last_images_is_found() -> None:
    """All images are judged, not a part of them."""
    labels = np.arange(4000) % 5
    answers = np.where(np.arange(4000) >= 3600, labels, 0)
    scores = np.eye(5, dtype=np.float32)[answers]
    found = judged(scores, ONE.membership(labels.tolist()), False, 0)
    assert (found.images, found.found.p_value <= LEVEL) == (4000, True)
    assert judged(scores[:3600], ONE.membership(labels[:3600].tolist()), False, 0).one_answer


def test_answers_are_given_for_every_image_that_has_a_label(digits_run: Any, trained: Any) -> None:
    labels = digits_run.table.membership[digits_run.table.indices("val")]
    reading, classifier, bank, _ = trained
    scores = blank_answers(classifier, labels, digits_run.graph, bank, settings_of(reading)[1], 0)
    assert scores.shape == labels.shape
    assert check(digits_run, trained).images == labels.shape[0]


def sentence(found: LeakCheck, multi_label: bool) -> str:
    """The account of a check, by way of the figures that metrics.json has of it."""
    return leak_line(leak_figures(found, multi_label), "a reading")
