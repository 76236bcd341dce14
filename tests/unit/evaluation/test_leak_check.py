"""Nothing leaks through the default reading's graph, and the check that says so fails for the published ones."""

from __future__ import annotations

from typing import Any

import pytest

from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.evaluation.leak_check import LeakCheck, blank_answers, judged
from csrms_dist.metrics.chance import LEVEL
from csrms_dist.training.loop import fit
from csrms_dist.training.settings import OptimiserSettings
from tests.unit.csrms_made import settings_of


@pytest.fixture(scope="module", params=["structural", "paper", "reference"])
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
    if trained[0] != "structural":
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
    assert (found.found.p_value <= LEVEL) == (reading != "structural")


def test_all_readings_learn(trained: Any) -> None:
    """So the check does not pass because nothing was learnt."""
    history = trained[3]
    assert history[-1]["plain_accuracy"] > 0.9
    assert history[-1]["graph_accuracy"] > 0.8


def test_one_image_shows_nothing(digits_run: Any, trained: Any) -> None:
    found = check(digits_run, trained, slice(0, 1))
    assert (found.images, found.one_answer, found.found.visible) == (1, False, None)
    assert found.found.p_value > LEVEL
