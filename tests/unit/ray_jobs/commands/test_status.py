"""Command status: a person's account, a program's, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from csrms_dist.artefacts.log_file import LogFile
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.errors import RunDirectoryError
from ray_jobs.commands import status as command
from ray_jobs.commands.cli import main
from ray_jobs.monitoring.account import utc_now
from ray_jobs.monitoring.process import this_process


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.chdir(tmp_path)
    run = RunDirectory("runs/mine")
    run.write_json("run.json", {})
    return run


def write(run: RunDirectory, *lines: dict[str, Any]) -> None:
    log, now = LogFile(run, "log.jsonl"), utc_now().isoformat().replace("+00:00", "Z")
    first = {"stage": None, "event": "started", "stages": ["images", "train"], "process": this_process()}
    for line in (first, *lines):
        log.append({"time": now, "run": "mine", "attempt": 1, **line})


UNDER_WAY = (
    {"stage": "images", "event": "started"},
    {"stage": "images", "event": "done", "work": "images", "done": 1797, "total": 1797, "unit": "images",
     "figures": {"seconds": 0.44}},
    {"stage": "train", "event": "started"},
    {"stage": "train", "event": "measured", "step": 12, "figures": {"loss": 0.1234, "plain_accuracy": 0.91}},
    {"stage": "train", "event": "warning", "message": "mind the gap"},
    {"stage": "train", "event": "progress", "work": "train", "done": 12, "total": 30, "unit": "epochs", "rate": 0.5,
     "left_s": 36.0, "message": "loss 0.123"},
)  # fmt: skip


def test_a_person_sees_stages_and_signs_of_life(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    write(run, *UNDER_WAY)
    assert main(["status", "runs/mine"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("runs/mine: running, last sign of life 0.")
    assert said[0].endswith(f"process {this_process()['pid']} on {this_process()['host']} is alive")
    assert [row.split() for row in said[1:4]] == [
        ["stage", "state", "share", "amount", "rate", "time", "note"],
        ["images", "done", "1,797", "images", "0.4", "s"],
        ["train", "running", "40%", "12/30", "epochs", "0.5", "epochs/s", "36", "s", "left", "loss", "0.123"],
    ]
    assert said[4:] == ["last epoch: train 12, loss 0.1234  plain 91.0%", "last of 1 warning: mind the gap"]


def test_a_program_gets_json_and_a_code(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    write(run, *UNDER_WAY, {"stage": "train", "event": "failed", "message": "disk: got full"})
    assert main(["status", "runs/mine", "--format", "json"]) == command.NOT_GOING_ON == 8
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["alive"], found["error"]) == ("failed", False, "disk: got full")
    assert [(stage["name"], stage["state"]) for stage in found["stages"]] == [("images", "done"), ("train", "failed")]
    assert found["stages"][1]["left_s"] == 36.0


def test_without_a_name_it_is_the_run_that_was_written_last(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    write(run, {"stage": None, "event": "done"})
    assert main(["status"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("runs/mine: done, ")
    assert said.err.startswith("csrms status: of ")


def test_a_run_without_a_log_is_an_error(run: RunDirectory) -> None:
    with pytest.raises(RunDirectoryError, match=r"runs/mine: got no log.jsonl in it"):
        command.status(run, "table")
