"""Thirty kills: each stage is stopped in each way, and what follows ends with the metrics of an undisturbed run.

Kinds: SIGKILL, SIGTERM and Ctrl-C of the command; SIGKILL of a worker process (of Ray, or of the database) and of an
actor that does the stage's work. 300 digits, 2 epochs, no control, on Ray.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.harness import CLI, ROOM, Finished, Process, csrms, digests, title
from tests.end_to_end.made import write_digits_parquet

pytestmark = [ROOM, pytest.mark.slow]

CONFIG = "config.yaml"
TEXT = """
name: small
data: {dataset: parquet, path: images, image_size: 32}
pretrain: {epochs: 2, lr: 0.02}
cluster: {actors: 2, shards: 2}
train: {epochs: 2, lr: 0.01}
"""
COMMAND = (*CLI, "run", CONFIG, "--no-control")
ON_RAY = {"RAY_ADDRESS": "local"}
STAGES = ("images", "pretrain", "features", "cluster", "graph", "train", "evaluate")
STOPPED = "csrms run: stopped; the same command goes on from here"


@dataclass(frozen=True)
class Stage:
    """under_way: whether the stage is at work, told by its files or (a word) by the title of a process.

    worker, actor: words in the title of the process to kill. redone: the stages that are removed before, this one
    first, so that the command begins with them.
    """

    under_way: str
    worker: str
    actor: str
    redone: tuple[str, ...]


AT_WORK = {
    "pretrain": Stage(".checkpoints/*/state.pt", "RayTrainWorker", "TrainController", STAGES[1:]),
    "features": Stage(".features.*", "ray::IDLE", "_Encoder", STAGES[2:]),
    "cluster": Stage(".checkpoints/*/inputs.json", "ray::IDLE", "ray::_Worker", STAGES[3:]),
    # Clustering is done again too, so that Ray is there while the graph is built.
    "graph": Stage("store/.build.*", "graphstore", "ray::IDLE", STAGES[3:]),
    "train": Stage(".checkpoints/*/state.pt", "RayTrainWorker", "TrainController", STAGES[5:]),
    "evaluate": Stage("ray::_Worker", "ray::IDLE", "ray::_Worker", STAGES[6:]),
}
KINDS = ("SIGKILL", "SIGTERM", "Ctrl-C", "worker", "actor")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_digits_parquet(folder / "images", 300)
    (folder / CONFIG).write_text(TEXT)
    said = csrms("run", CONFIG, "--no-control", folder=folder, **ON_RAY)
    assert said.code == 0, said.err
    return folder


def processes(process: Process, word: str) -> list[int]:
    return sorted(pid for pid in process.processes() if word in title(pid))


def stop(process: Process, kind: str, stage: Stage) -> None:
    if kind in ("SIGKILL", "SIGTERM"):
        process.signal(getattr(signal, kind))
    elif kind == "Ctrl-C":
        process.signal(signal.SIGINT, group=True)
    else:
        word = stage.worker if kind == "worker" else stage.actor
        process.wait_until(lambda: bool(processes(process, word)), f"a process {word}")
        with contextlib.suppress(ProcessLookupError):  # it may have done its work meanwhile
            os.kill(processes(process, word)[0], signal.SIGKILL)


def under_way(process: Process, run: Path, stage: Stage) -> Callable[[], bool]:
    if "::" in stage.under_way:
        return lambda: bool(processes(process, stage.under_way))
    return lambda: bool(list(run.glob(stage.under_way)))


def assert_equal(run: Path, other: Path) -> None:
    assert (run / "metrics.json").read_bytes() == (other / "metrics.json").read_bytes()
    for artefact in ("features", "cluster", "candidates", "train", "evaluate"):
        assert digests(run / artefact) == digests(other / artefact), artefact
    assert not list(run.glob(".checkpoints/*"))
    assert not list(run.glob("store/.build.*"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", AT_WORK)
def test_nothing_is_lost(undisturbed: Path, tmp_path: Path, name: str, kind: str) -> None:
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    run, stage = folder / "runs" / "small", AT_WORK[name]
    for artefact in stage.redone:
        shutil.rmtree(run / artefact)
    if "graph" in stage.redone:
        shutil.rmtree(run / "store")
    with Process(COMMAND, folder, ON_RAY) as process:
        process.wait_until(under_way(process, run, stage), f"the stage {name}")
        stop(process, kind, stage)
        said = process.finish()
    print(f"{name:<9} {kind:<8} exit {said.code}", file=sys.stderr)
    assert_said(said, kind)
    if kind in ("SIGKILL", "SIGTERM", "Ctrl-C"):
        assert not (run / name).exists(), "it was stopped too late"
    again = csrms("run", CONFIG, "--no-control", folder=folder, **ON_RAY)
    assert again.code == 0, again.err
    if said.code == 0:
        assert again.done == ()
    assert_equal(run, undisturbed / "runs" / "small")


def assert_said(said: Finished, kind: str) -> None:
    if kind == "SIGKILL":
        assert said.code == -signal.SIGKILL
    elif kind in ("SIGTERM", "Ctrl-C"):
        assert said.code == 130
        assert STOPPED in said.sentences
        assert "Traceback" not in said.err
    else:
        # The command goes on by itself, or ends with a sentence of its own.
        assert said.code in (0, 5, 6), said.err
        assert "Traceback" not in said.err
