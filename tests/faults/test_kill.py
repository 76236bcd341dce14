"""A run that is killed, at whatever point, leaves no process and no half artefact, and the same command finishes it."""

from __future__ import annotations

import io
import signal
import time
from pathlib import Path

import pytest
import torch

from tests.end_to_end.harness import CLI, CONFIG, ROOM, SMALL, STAGES, Process, Run, csrms, digests

pytestmark = ROOM

HOOK = "CSRMS_TEST_STOP_AFTER"
MADE_AGAIN = ("cluster", "graph", "candidates", "train", "evaluate")
# A figure that no training gives: found again in the history, it came from the checkpoint.
PLANTED = 123.5


def checkpoints(run: Run) -> list[Path]:
    return sorted(run.directory.glob(".checkpoints/*/state.pt"))


def plant(path: Path) -> int:
    """Change the first epoch's loss in a checkpoint; returns how many epochs it holds."""
    state = torch.load(path, weights_only=True)
    state["history"][0]["loss"] = PLANTED
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.write_bytes(buffer.getvalue())
    return len(state["history"])


def assert_whole_and_equal(run: Run, undisturbed: Run) -> None:
    assert run.path("metrics.json").read_bytes() == undisturbed.path("metrics.json").read_bytes()
    for stage in (*STAGES, "candidates"):
        if stage != "graph":
            assert digests(run.path(stage)) == digests(undisturbed.path(stage)), stage
    hidden = {path.name for path in run.directory.iterdir() if path.name.startswith(".")}
    assert hidden <= {".lock", ".checkpoints"}
    assert not list(run.directory.glob(".checkpoints/*"))


@pytest.mark.slow
@pytest.mark.parametrize("point", ["train.2", "train.5"])
def test_killed_in_clustering_then_in_training_then_left_alone(finished: Run, copied: Run, point: str) -> None:
    copied.remove(*MADE_AGAIN)
    first = copied.run(**{HOOK: "cluster.learn"})
    assert (first.code, first.done) == (-signal.SIGKILL, ())
    assert not copied.path("cluster").exists()
    assert list(copied.directory.glob(".cluster.*"))

    second = copied.run(**{HOOK: point})
    assert (second.code, second.done) == (-signal.SIGKILL, ("cluster", "graph"))
    assert not copied.path("train").exists()
    # On a busy machine more epochs than the named one may be done when the driver hears of it.
    assert [plant(path) for path in checkpoints(copied)]

    third = copied.run()
    assert (third.code, third.done) == (0, ("train", "evaluate")), third.err
    history = copied.facts("train")["history"]
    assert [epoch["loss"] for epoch in history] == [
        PLANTED, *(epoch["loss"] for epoch in finished.facts("train")["history"][1:])
    ]  # fmt: skip
    assert_whole_and_equal(copied, finished)
    assert copied.json("run.json")["attempts"] == 4


@pytest.mark.slow
def test_killed_in_stage_0(finished: Run, copied: Run) -> None:
    copied.remove("pretrain")
    killed = csrms("pretrain", CONFIG, *SMALL, folder=copied.folder, **{HOOK: "pretrain.1"})
    assert killed.code == -signal.SIGKILL
    assert not copied.path("pretrain").exists()
    said = copied.run()
    # The new artefact has the old fingerprint, so what was made from the old one stands.
    assert (said.code, said.done) == (0, ("pretrain",)), said.err
    assert_whole_and_equal(copied, finished)


def test_killed_while_the_graph_is_published(finished: Run, copied: Run) -> None:
    copied.remove("graph", "store")
    command = ("graph", CONFIG, *SMALL)
    with Process((*CLI, *command), copied.folder) as process:
        process.wait_until(lambda: bool(list(copied.directory.glob("store/.build.*"))), "a graph in the making")
        process.signal(signal.SIGKILL)
        assert process.finish().code == -signal.SIGKILL
    assert not copied.path("graph").exists()
    assert csrms("query", "dominance", "--run", copied.directory, folder=copied.folder).code in (0, 5)
    said = csrms(*command, folder=copied.folder)
    assert (said.code, said.done) == (0, ("graph",)), said.err
    assert not list(copied.directory.glob("store/.build.*"))
    assert digests(copied.path("graph") / "snapshot") == digests(finished.path("graph") / "snapshot")


@pytest.mark.slow
def test_rays_agents_go_as_well(copied: Run) -> None:
    copied.remove("cluster")
    with Process(
        (*CLI, "cluster", CONFIG, *SMALL), copied.folder, {HOOK: "cluster.learn", "RAY_ADDRESS": "local"}
    ) as process:
        assert process.finish().code == -signal.SIGKILL
        deadline = time.monotonic() + 100
        while process.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not process.processes()
