"""A real run is watched from another process: under way, killed, going on, done."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest

from csrms_dist.artefacts.run_directory import RunDirectory
from ray_jobs.commands.status import NOT_GOING_ON, status
from tests.end_to_end.harness import CLI, CONFIG, ROOM, SMALL, Process, Run
from tests.event_files import scalars

pytestmark = [ROOM, pytest.mark.slow]


def seen(run: Run) -> tuple[dict[str, Any], int]:
    text, code = status(RunDirectory(run.directory), "json")
    return json.loads(text), code


def trained(run: Run) -> list[int]:
    """The epochs of the method that later attempts than the first have logged."""
    lines = [json.loads(line) for line in run.path("log.jsonl").read_text().splitlines()]
    told = [line for line in lines if line["event"] == "measured" and line["stage"] == "train"]
    return [line["step"] for line in told if line["attempt"] > 1]


def state_of(found: dict[str, Any], stage: str) -> str:
    [state] = [each["state"] for each in found["stages"] if each["name"] == stage]
    return str(state)


def test_under_way_then_killed_then_done(finished: Run, copied: Run) -> None:
    copied.remove("train", "evaluate")
    loggers = ("--set", "loggers=[tensorboard]")
    with Process((*CLI, "run", CONFIG, *SMALL, *loggers), copied.folder) as process:
        process.wait_until(lambda: trained(copied)[-1:] >= [2], "epochs")
        under_way, code = seen(copied)
        process.signal(signal.SIGKILL)
        process.finish()
    assert (under_way["state"], under_way["alive"], code) == ("running", True, 0)
    assert [state_of(under_way, stage) for stage in ("graph", "train", "evaluate")] == ["done", "running", "waiting"]

    killed, code = seen(copied)
    assert (killed["state"], killed["alive"], state_of(killed, "train"), code) == ("stopped", False, "stopped", 8)
    assert code == NOT_GOING_ON
    assert "gone without a word" in killed["error"]

    said = copied.run(*loggers)
    assert (said.code, said.done) == (0, ("train", "evaluate")), said.err
    done, code = seen(copied)
    assert (done["state"], code, {stage["state"] for stage in done["stages"]}) == ("done", 0, {"done"})
    history = copied.facts("train")["history"]
    for stage in ("pretrain", "train", "control"):  # those that were done before it was asked for, too
        steps = [step for step, _ in scalars(copied.path("tensorboard") / stage)["loss"]]
        assert steps == [int(epoch["epoch"]) for epoch in copied.facts(stage)["history"]]
    assert done["figures"]["loss"] == pytest.approx(history[-1]["loss"])
    assert trained(copied) == [int(epoch["epoch"]) for epoch in history]


def test_a_process_that_is_held_is_silent_and_goes_on(copied: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray_jobs.monitoring.account.SILENT_S", 2.0)
    copied.remove("cluster", "graph", "candidates", "train", "control", "evaluate")
    with Process((*CLI, "run", CONFIG, *SMALL, "--until", "cluster"), copied.folder) as process:
        process.wait_until(lambda: state_of(seen(copied)[0], "cluster") == "running", "a second attempt")
        process.signal(signal.SIGSTOP)
        time.sleep(2.5)
        held, code = seen(copied)
        process.signal(signal.SIGCONT)
        assert process.finish().code == 0
    assert (held["state"], held["alive"], code) == ("stalled", True, NOT_GOING_ON)
    assert seen(copied)[0]["state"] == "done"
