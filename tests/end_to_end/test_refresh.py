"""Patterns that are made anew while training: the same after a stop, and to be asked about beside the run's own."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.errors import ConfigError
from csrms_dist.hierarchy import snapshot
from csrms_dist.methods.csrms.settings import CSRMSSettings
from csrms_dist.training.alone import train_alone
from csrms_dist.training.recipe import Recipe
from ray_jobs.places import store_of
from ray_jobs.settings import load_settings
from tests.end_to_end.harness import CONFIG, ROOM, ROOT, SMALL, Run, digests

pytestmark = ROOM

EPOCHS = 5


@pytest.fixture
def recipe() -> Any:
    """With a refresh every second epoch and a curriculum that changes in each."""
    found = load_settings(ROOT / CONFIG, SMALL[1::2]).recipe
    method = CSRMSSettings(**{**vars(found.method), "refresh": 2, "curriculum": "cosine"})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield replace(found, method=method, train=replace(found.train, epochs=EPOCHS))
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


class StoppedError(Exception):
    pass


def trained(run: Run, recipe: Recipe, work: Path, stop_after: int = 0) -> dict[str, Any]:
    def on_epoch(done: int, report: Any) -> None:
        if done == stop_after:
            raise StoppedError

    work.mkdir(exist_ok=True)
    return train_alone("train", run.directory, recipe, work=work, on_epoch=on_epoch)


def test_a_training_that_was_stopped_ends_as_one_that_was_not(finished: Run, recipe: Recipe, tmp_path: Path) -> None:
    whole = trained(finished, recipe, tmp_path / "whole")
    for stop_after in (2, 3, 4):  # at a refresh, behind it, at the next
        work = tmp_path / f"{stop_after}"
        with pytest.raises(StoppedError):
            trained(finished, recipe, work, stop_after)
        if stop_after == 4:  # while the second was being made
            (work / ".refresh.4").mkdir()
        again = trained(finished, recipe, work)
        assert again["history"] == whole["history"]
        for name, value in whole["model"].items():
            assert torch.equal(again["model"][name], value), name
    weights = [{key: report[f"weight_{key}"] for key in ("easy", "hard")} for report in whole["history"]]
    assert weights[0] != weights[-1]
    # Each refresh is of the features of its epoch, in its own hierarchy; numbers stay where members do.
    first = snapshot.load(finished.path("graph") / "snapshot").pattern
    second = snapshot.load(tmp_path / "whole" / "refresh.2" / "snapshot").pattern
    third = snapshot.load(tmp_path / "whole" / "refresh.4" / "snapshot").pattern
    assert (first != second).any()
    assert (second == third).mean() > np.mean([(np.roll(second, k) == third).mean() for k in range(1, 50)])


def test_without_features_that_move_there_is_nothing_to_make_anew(finished: Run, recipe: Recipe) -> None:
    frozen = replace(recipe, encoder=replace(recipe.encoder, frozen=True, adapter="none"))
    with pytest.raises(ConfigError, match=r"method\.refresh: got 2 with features that training does not change"):
        trained(finished, frozen, Path())


@pytest.mark.slow
def test_a_run_publishes_them_beside_its_own(finished: Run, tmp_path: Path) -> None:
    run = finished.copy(tmp_path / "run")
    asked = ("--set", "method.refresh=1", "--set", "train.epochs=4", "--no-control")
    said = run.run(*asked)
    assert said.code == 0, said.err
    assert "pretrain" not in said.done
    made = run.facts("train")["refreshed"]
    assert [facts["epoch"] for facts in made] == [1, 2, 3]
    assert ["run" in facts for facts in made] == [False, True, True]  # graph.keep_runs is 3, with the run's own
    with store_of(RunDirectory(run.directory)) as store:
        stored = {info.key: info for info in store.runs()}
        assert store.live_run() == run.facts("graph")["run"]
        for facts in made[1:]:
            assert stored[facts["run"]].n_patterns == facts["patterns"]
            graph = store.export(facts["run"])
            kept = snapshot.load(run.path("train") / "refreshed" / str(facts["epoch"]) / "snapshot")
            np.testing.assert_array_equal(graph.pattern, kept.pattern)
    assert f"made anew from the features after 2 epochs: {made[1]['patterns']} patterns" in said.out
    assert run.run(*asked).done == ()


@pytest.mark.slow
@pytest.mark.parametrize("point", ["train.2", "train.3", "train.4"])
def test_a_kill_in_the_middle_of_curriculum_and_refresh_changes_no_figure(
    finished: Run, tmp_path: Path, point: str
) -> None:
    asked = ("--set", "method.refresh=2", "--set", "method.curriculum=cosine", "--no-control")
    whole, killed = finished.copy(tmp_path / "whole"), finished.copy(tmp_path / "killed")
    assert whole.run(*asked).code == 0
    assert killed.run(*asked, **{"CSRMS_TEST_STOP_AFTER": point}).code == -signal.SIGKILL
    assert killed.run(*asked).code == 0
    assert killed.path("metrics.json").read_bytes() == whole.path("metrics.json").read_bytes()
    assert digests(killed.path("train")) == digests(whole.path("train"))
