"""Patterns by chance hold wherever training asks: the method, its candidates, its order, its leak check."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from csrms_dist.artefacts.names import CANDIDATES
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.collective import Collective
from csrms_dist.errors import ConfigError
from csrms_dist.evaluation import figures
from csrms_dist.hierarchy.permuted import permuted
from csrms_dist.methods.csrms.settings import CSRMSSettings
from csrms_dist.run_contents import RunContents
from csrms_dist.sampling.candidates import load_candidates
from csrms_dist.sampling.write import write_candidates
from csrms_dist.training.from_run import assemble
from csrms_dist.training.recipe import Recipe
from csrms_dist.training.settings import TrainSettings
from csrms_dist.training.structure import structure_of
from ray_jobs.settings import RunSettings, settings_from
from ray_jobs.stages.context import StageContext
from ray_jobs.stages.train import prepare_candidates
from tests.equivalence.parts import prepare

STRUCTURES = ("found", "permuted")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("run")
    prepare(place, several=False)
    return place


def settings(structure: str) -> RunSettings:
    return settings_from({"method": {"structure": structure}, "sampling": {"negatives": "same_pattern"}})


def test_method_and_order_are_trained_on_patterns_by_chance(folder: Path) -> None:
    run, patterns, orders = RunContents(RunDirectory(folder)), {}, {}
    for structure in STRUCTURES:
        train = TrainSettings(batch_size=32, batches="look_alikes")
        weights = dict.fromkeys(("weight_negative", "weight_inter_class"), 0.0)
        recipe = Recipe(seed=5, method=CSRMSSettings(structure=structure, **weights), train=train)
        training: Any = assemble("train", run, recipe, Collective())
        patterns[structure] = training.method.relations.pattern
        orders[structure] = training.order(0).tolist()
    expected = permuted(run.hierarchy, run.ids, 5, 10)
    assert patterns["found"].tolist() == run.hierarchy.pattern.tolist() != patterns["permuted"].tolist()
    assert patterns["permuted"].tolist() == expected.pattern.tolist()
    assert orders["found"] != orders["permuted"]


def test_candidates_are_made_of_the_same_hierarchy_and_anew_where_that_changes(folder: Path, tmp_path: Path) -> None:
    run, stamps, found = RunDirectory(folder), [], {}
    for structure in (*STRUCTURES, "found"):
        context = StageContext(run, settings(structure), "inputs")
        prepare_candidates(context)
        stamps.append((run.stamp(CANDIDATES) or {})["fingerprint"])
        neighbours = load_candidates(run.open(CANDIDATES), ["negative"])["negative"].neighbours
        found[structure] = np.array(neighbours).tolist()
    assert stamps[0] == stamps[2] != stamps[1]
    assert found["found"] != found["permuted"]
    contents, chosen = RunContents(run), settings("permuted")
    graph = permuted(contents.hierarchy, contents.ids, chosen.seed, chosen.sampling.n_positives)
    write_candidates(tmp_path, graph, contents.vectors, chosen.sampling, edge_types=("negative",))
    assert found["permuted"] == np.array(load_candidates(tmp_path, ["negative"])["negative"].neighbours).tolist()


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_leak_check_takes_the_graph_of_the_training(
    folder: Path, monkeypatch: pytest.MonkeyPatch, structure: str
) -> None:
    run, chosen, seen = RunContents(RunDirectory(folder)), settings(structure), []
    with RunDirectory(folder).writing("train", "made", {"history": [{"graph_accuracy": 1.0}]}):
        pass

    def answers(classifier: Any, labels: Any, graph: Any, *rest: Any) -> np.ndarray:
        seen.append(graph.pattern.tolist())
        return np.full((labels.shape[0], labels.shape[1]), 0.2)

    monkeypatch.setattr(figures, "blank_answers", answers)
    monkeypatch.setattr(figures, "Classifier", lambda place: None)
    monkeypatch.setattr(figures, "rows_of", lambda run: {"val": np.arange(9)})
    asked: Any = SimpleNamespace(method=chosen.method, sampling=chosen.sampling, seed=chosen.seed)
    leak = figures.leak_of(run, asked, {("train", "val"): SimpleNamespace(heads={"graph": None})})  # type: ignore[dict-item]
    assert leak is not None
    assert seen == [structure_of(run, chosen.method, chosen.sampling, 0).hierarchy.pattern.tolist()]
    assert (seen == [run.hierarchy.pattern.tolist()]) is (structure == "found")


def test_patterns_by_chance_are_not_found_anew() -> None:
    with pytest.raises(ConfigError, match=r"method.refresh: got 2 with method.structure=permuted, expected 0"):
        CSRMSSettings(structure="permuted", refresh=2)
    assert CSRMSSettings(structure="permuted").reported()["structure"] == "permuted"
    assert "structure" not in CSRMSSettings().reported()
