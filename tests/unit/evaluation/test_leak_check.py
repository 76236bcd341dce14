"""Nothing leaks through the default reading's graph, and the check that says so fails for the paper's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.evaluation.leak_check import blank_image_accuracy
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


def blank_accuracy(digits_run: Any, trained: Any, rows: slice = slice(None)) -> float:
    reading, classifier, bank, _ = trained
    table = digits_run.table
    val = table.indices("val")[rows]
    _, sampling = settings_of(reading)
    return blank_image_accuracy(classifier, table.membership[val], digits_run.graph, bank, sampling, 0)


def test_blank_images_are_answered_right_where_the_graph_gives_the_label_away(digits_run: Any, trained: Any) -> None:
    accuracy = blank_accuracy(digits_run, trained)
    if trained[0] == "paper":
        assert accuracy > 0.9
    else:
        assert accuracy < 0.3


def test_both_readings_learn(trained: Any) -> None:
    """So the check does not pass because nothing was learnt."""
    history = trained[3]
    assert history[-1]["plain_accuracy"] > 0.9
    assert history[-1]["graph_accuracy"] > 0.8


def test_without_images_nothing_is_answered(digits_run: Any, trained: Any) -> None:
    assert blank_accuracy(digits_run, trained, slice(0, 0)) == 0
    assert np.isfinite(blank_accuracy(digits_run, trained, slice(0, 1)))
