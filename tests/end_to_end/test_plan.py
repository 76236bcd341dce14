"""`csrms plan` before a run, in the middle and afterwards: against what the session's finished run really took."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from ray_jobs.pipeline import prepare as prepare_run
from ray_jobs.plan.plan import forecast
from tests.end_to_end.harness import CONFIG, ROOM, ROOT, SMALL, STAGES, Finished, Run, csrms, prepare

# Within these factors; docs/plan.md says how near it usually is. What is small is mostly headers and process starts.
DISK, MEMORY = 1.5, 2.0
SMALL_MB = 0.1


def plan(folder: Path, *arguments: str) -> Finished:
    return csrms("plan", CONFIG, *SMALL, *arguments, folder=folder)


@ROOM
def test_before_anything_runs_it_says_what_each_stage_takes_and_runs_nothing(tmp_path: Path) -> None:
    prepare(tmp_path)
    said = plan(tmp_path)
    assert said.code == 0, said.err
    assert not (tmp_path / "runs").exists()
    lines = [line.split() for line in said.out.splitlines()]
    assert [words[0] for words in lines if words and words[0] in STAGES] == list(STAGES)
    assert "done" not in said.out
    assert "Measured" not in said.out
    assert any(words[:2] == ["to", "do"] for words in lines)
    without = plan(tmp_path, "--no-control")
    assert "control" not in without.out


@ROOM
def test_afterwards_rows_and_passes_are_right_and_the_rest_is_near(copied: Run) -> None:
    said = plan(copied.folder)
    assert said.code == 0, said.err
    assert "everything is done" in said.out
    assert "Measured against the plan" in said.out
    assert not copied.path("plan.json").exists()
    work = prepare_run(copied.folder / CONFIG, copied.directory, SMALL[1::2], control=True)
    planned = forecast(work, cores=2)
    assert all(item.done for item in planned)
    stages = {item.stage: asdict(item.estimate) for item in planned}
    noted, metrics = copied.json("run.json")["stages"], copied.json("metrics.json")
    dataset = metrics["dataset"]
    assert stages["images"]["rows"] == dataset["train"] + dataset["val"] + dataset["test"]
    assert {stages[stage]["rows"] for stage in ("features", "cluster", "graph")} == {stages["images"]["rows"]}
    for stage in ("pretrain", "features", "train", "control"):
        assert stages[stage]["passes"] == noted[stage]["passes"]
    for method, of in (("method", ("pretrain", "features", "train")), ("control", ("pretrain", "control"))):
        for kind in ("backward", "forward"):
            assert metrics["passes"][method][kind] == sum(stages[stage]["passes"][kind] for stage in of)
    for stage in STAGES:
        folders = [stage, *{"graph": ["store"], "train": ["candidates"]}.get(stage, [])]
        files = [path for folder in folders for path in copied.path(folder).rglob("*") if path.is_file()]
        disk = sum(path.stat().st_size for path in files) / 1e6
        assert abs(disk - stages[stage]["disk_mb"]) < SMALL_MB or within(disk, stages[stage]["disk_mb"], DISK), stage
        assert within(noted[stage]["peak_mb"], stages[stage]["memory_mb"], MEMORY), stage
    # How near the time is depends on what else the machine does: benchmarks say it, no test does.
    assert all(stages[stage]["seconds"] > 0 for stage in STAGES)


def within(value: float, estimate: float, factor: float) -> bool:
    return bool(estimate / factor <= value <= estimate * factor)


@pytest.mark.parametrize("missing", ["no/such/folder", ""])
def test_images_that_are_not_there_are_an_error_at_once(tmp_path: Path, missing: str) -> None:
    prepare(tmp_path)
    said = plan(tmp_path, "--set", "data.dataset=folders", "--set", f"data.path={missing!r}")
    assert said.code in (2, 3), said.err
    assert len(said.sentences) == 1
    assert not (tmp_path / "runs").exists()


def test_a_loss_for_several_labels_is_refused_as_the_run_does(tmp_path: Path) -> None:
    said = csrms("plan", ROOT / CONFIG, "--out", tmp_path / "run", "--set", "train.loss=asymmetric", folder=tmp_path)
    assert said.code == 2
    assert said.sentences[-1].endswith(
        "train.loss: got 'asymmetric' for images of one label each, expected images with several labels; set it to auto"
    )
