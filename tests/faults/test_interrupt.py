"""Ctrl-C and SIGTERM: one sentence, exit code 130, no process left, and the same command goes on. One command at a
time in a run directory."""

from __future__ import annotations

import signal

import pytest

from tests.end_to_end.harness import CLI, CONFIG, ROOM, SMALL, Process, Run, csrms

pytestmark = ROOM

SOON_S = 15.0
STOPPED = ["csrms run: stopped; the same command goes on from here"]


def training(run: Run) -> bool:
    """Whether an epoch is done and the stage is not."""
    return bool(list(run.directory.glob(".checkpoints/*/state.pt")))


def clustering(run: Run) -> bool:
    return bool(list(run.directory.glob(".checkpoints/*/inputs.json")))


@pytest.mark.parametrize(
    ("stage", "how", "ray"),
    [
        ("train", "SIGTERM", ""),
        ("train", "Ctrl-C", ""),
        pytest.param("train", "SIGTERM", "local", marks=pytest.mark.slow),
        pytest.param("train", "Ctrl-C", "local", marks=pytest.mark.slow),
        pytest.param("cluster", "SIGTERM", "local", marks=pytest.mark.slow),
        pytest.param("cluster", "Ctrl-C", "local", marks=pytest.mark.slow),
    ],
)
def test_interrupted(finished: Run, copied: Run, stage: str, how: str, ray: str) -> None:
    copied.remove(*(("cluster", "graph") if stage == "cluster" else ("train", "evaluate")))
    under_way = clustering if stage == "cluster" else training
    with Process((*CLI, "run", CONFIG, *SMALL), copied.folder, {"RAY_ADDRESS": ray}) as process:
        process.wait_until(lambda: under_way(copied), f"the stage {stage}")
        process.signal(signal.SIGINT if how == "Ctrl-C" else signal.SIGTERM, group=how == "Ctrl-C")
        said = process.finish(SOON_S)
    assert said.code == 130
    assert said.sentences == STOPPED
    assert said.out == ""
    assert not copied.path(stage).exists()
    if (stage, how) == ("train", "Ctrl-C"):
        again = copied.run()
        assert (again.code, again.done) == (0, ("train", "evaluate")), again.err
        assert copied.path("metrics.json").read_bytes() == finished.path("metrics.json").read_bytes()


@pytest.mark.slow
def test_a_second_command_on_the_same_run_is_refused(finished: Run, copied: Run) -> None:
    copied.remove("train", "evaluate")
    with Process((*CLI, "run", CONFIG, *SMALL), copied.folder) as first:
        first.wait_until(lambda: copied.json("run.json")["attempts"] == 2, "a second attempt")
        second = csrms("run", CONFIG, *SMALL, folder=copied.folder)
        assert second.code == 4
        assert second.err == (
            "csrms run: runs/digits: got a run that another command is writing; wait for it or choose another --out\n"
        )
        assert csrms("query", "dominance", folder=copied.folder).code == 0
        said = first.finish()
    assert (said.code, said.done) == (0, ("train", "evaluate")), said.err
    assert copied.json("run.json")["attempts"] == 2
    assert copied.path("metrics.json").read_bytes() == finished.path("metrics.json").read_bytes()
