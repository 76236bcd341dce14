"""The same seed gives the same bytes, in another folder and under another name; another number of workers the same
losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.end_to_end.harness import CONFIG, ROOM, SMALL, Run, csrms, digests, prepare, run_in

pytestmark = ROOM


STAGES = ("images", "pretrain", "features", "cluster", "candidates", "train", "evaluate")


def equal(one: Run, other: Run, stages: Sequence[str]) -> None:
    assert other.path("metrics.json").read_bytes() == one.path("metrics.json").read_bytes()
    for stage in stages:
        assert digests(other.path(stage)) == digests(one.path(stage)), stage
    assert digests(other.path("graph") / "snapshot") == digests(one.path("graph") / "snapshot")


@pytest.mark.slow
def test_two_runs_with_one_seed_are_equal(bare: Run, tmp_path: Path) -> None:
    other = run_in(tmp_path / "other", "--set", "name=another", "--out", "runs/digits", "--no-control")
    equal(bare, other, STAGES)


def test_ray_gives_the_bytes_of_one_process(bare: Run, tmp_path: Path) -> None:
    actors = [f"{section}.actors=2" for section in ("features", "cluster", "evaluate")]
    overrides = [word for text in actors for word in ("--set", text)]
    prepare(tmp_path)
    said = csrms("run", CONFIG, *SMALL, *overrides, "--no-control", folder=tmp_path, RAY_ADDRESS="local")
    assert said.code == 0, said.err
    equal(bare, Run(tmp_path, said, tmp_path), STAGES)
    assert {bare.json("run.json")["stages"][stage]["peak_process"] for stage in ("features", "cluster", "train")} == {
        "csrms"
    }


@pytest.mark.slow
def test_two_runs_with_a_control_are_equal(finished: Run, tmp_path: Path) -> None:
    equal(finished, run_in(tmp_path / "other"), (*STAGES, "control"))


@pytest.mark.slow
def test_another_seed_gives_another_run(finished: Run, tmp_path: Path) -> None:
    said = csrms("pretrain", CONFIG, *SMALL, "--set", "seed=1", "--out", "other", folder=finished.copy(tmp_path).folder)
    assert said.code == 0, said.err
    assert digests(tmp_path / "other" / "pretrain") != digests(finished.path("pretrain"))
    assert digests(tmp_path / "other" / "images") == digests(finished.path("images"))


@pytest.mark.slow
def test_two_workers_have_the_losses_of_one(finished: Run, copied: Run) -> None:
    said = csrms("train", CONFIG, *SMALL, "--set", "train.workers=2", folder=copied.folder)
    assert (said.code, said.done) == (0, ("train",)), said.err
    one, two = finished.facts("train")["history"], copied.facts("train")["history"]
    assert len(one) == len(two) == 5
    for epoch, other in zip(one, two, strict=True):
        assert set(epoch) == set(other)
        assert other["loss"] == pytest.approx(epoch["loss"], abs=5e-5)
