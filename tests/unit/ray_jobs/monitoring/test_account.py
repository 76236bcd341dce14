"""What a log says: each state of a run, from lines alone."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ray_jobs.monitoring.account import Account, account_of
from ray_jobs.monitoring.process import lives, this_process

NOW = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)
ELSEWHERE = {"pid": 7, "host": "far", "machine": "another boot", "started": 5}


def line(event: str, stage: str | None = None, ago: float = 1.0, **more: Any) -> dict[str, Any]:
    time = (NOW - timedelta(seconds=ago)).isoformat().replace("+00:00", "Z")
    return {"time": time, "run": "mine", "attempt": 1, "stage": stage, "event": event, **more}


def begun(process: dict[str, Any], attempt: int = 1) -> dict[str, Any]:
    return line("started", ago=900, stages=["images", "train", "evaluate"], process=process) | {"attempt": attempt}


def account(*lines: dict[str, Any]) -> Account:
    found = account_of(lines, NOW)
    assert found is not None
    return found


def states(found: Account) -> list[str]:
    return [stage.state for stage in found.stages.values()]


def test_an_empty_log_is_no_run() -> None:
    assert account_of([], NOW) is None
    assert account_of([{"strange": 1}], NOW) is None


UNDER_WAY = [
    line("skipped", "images", inputs="a", message="done before"),
    line("started", "train", inputs="b"),
    line("measured", "train", step=3, figures={"loss": 0.25, "plain_accuracy": 0.5}),
    line("warning", "train", message="careful"),
    line("progress", "train", ago=12, work="train", done=3, total=12, unit="epochs", rate=0.5, left_s=18.0),
]


def test_a_run_under_way() -> None:
    found = account(begun(this_process()), *UNDER_WAY)
    assert (found.state, found.alive, found.silent_s, found.is_going_on) == ("running", True, 12.0, True)
    assert states(found) == ["done", "running", "waiting"]
    train = found.stages["train"]
    assert (train.share, train.done, train.total, train.rate, train.left_s) == (0.25, 3, 12, 0.5, 18)
    assert (found.epoch_of, found.epoch, found.figures["loss"]) == ("train", 3, 0.25)
    assert (found.warnings, found.warning, found.error) == (1, "careful", "")


@pytest.mark.parametrize(("ago", "state"), [(12, "running"), (59, "running"), (61, "stalled")])
def test_on_another_machine_the_age_of_the_last_line_decides(ago: float, state: str) -> None:
    found = account(begun(ELSEWHERE), *UNDER_WAY[:-1], {**UNDER_WAY[-1], **line("progress", "train", ago)})
    assert (found.state, found.alive, found.is_going_on) == (state, None, state == "running")
    assert states(found) == ["done", state, "waiting"]
    assert ("no sign of life" in found.error) == (state == "stalled")


def test_here_a_process_that_is_gone_is_stopped_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = {**this_process(), "pid": child.pid}
        assert lives(process) is False  # a process of that number, but another one
    found = account(begun({**this_process(), "pid": child.pid}), *UNDER_WAY)
    assert (found.state, found.alive) == ("stopped", False)
    assert states(found) == ["done", "stopped", "waiting"]
    assert "gone without a word" in found.error


@pytest.mark.parametrize(("event", "state"), [("failed", "failed"), ("stopped", "stopped")])
def test_an_end_that_was_told(event: str, state: str) -> None:
    found = account(begun(ELSEWHERE), *UNDER_WAY, line(event, "train", message="disk: got full"))
    assert (found.state, found.error, found.is_going_on) == (state, "disk: got full", False)
    assert states(found) == ["done", state, "waiting"]


def test_a_run_that_is_done() -> None:
    done = line("done", "train", work="train", done=12, total=12, unit="epochs", figures={"seconds": 4.0})
    left = line("skipped", "evaluate", message="left out")
    found = account(begun(ELSEWHERE), *UNDER_WAY, done, left, line("done", ago=9e6))
    assert (found.state, found.is_going_on, found.error) == ("done", True, "")
    assert states(found) == ["done", "done", "left out"]
    assert found.stages["train"].seconds == 4.0


def test_another_attempt_begins_a_new_account_and_keeps_the_last_epoch() -> None:
    failed = line("failed", "train", message="disk: got full")
    found = account(begun(ELSEWHERE), *UNDER_WAY, failed, begun(this_process(), 2), line("started", "images"))
    assert (found.attempt, found.state, found.error, found.warning) == (2, "running", "", "")
    assert states(found) == ["running", "waiting", "waiting"]
    assert found.figures["loss"] == 0.25


def test_the_part_of_a_stage_has_no_share_of_it() -> None:
    part = line("progress", "train", work="candidates", done=5, total=10, unit="anchors")
    found = account(begun(this_process()), line("started", "train"), part)
    stage = found.stages["train"]
    assert (stage.share, stage.done, stage.total, stage.message) == (None, 0, None, "candidates 5/10")


def test_a_clock_that_is_ahead_makes_no_age() -> None:
    assert account(begun(ELSEWHERE), line("progress", "train", ago=-30)).silent_s == 0
