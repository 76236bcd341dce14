"""The account that a log gives of its run: how far each stage is, and whether anybody is still at work.

Only the log is read, so it is the same from every machine that can read the run directory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ray_jobs.monitoring.process import lives
from ray_jobs.monitoring.run_log import HEARTBEAT_S

SILENT_S = 6 * HEARTBEAT_S
"""Who has not written for so long is stalled, whatever the clocks of two machines differ by."""
WAITING, RUNNING, DONE, SKIPPED = "waiting", "running", "done", "left out"
FAILED, STOPPED, STALLED = "failed", "stopped", "stalled"
GOING_ON = (RUNNING, DONE)
GONE = "its process is gone without a word, killed perhaps; the same command goes on from here"
SILENT = "no sign of life for a minute: its process is stopped, its machine gone, or the clocks of two machines differ"


@dataclass
class StageAccount:
    """One stage of the last attempt. done, total: in `unit`. seconds: it took, None while it has not ended. rate: units
    a second, left_s: seconds that remain; None where that cannot be told."""

    name: str
    state: str = WAITING
    done: float = 0.0
    total: float | None = None
    unit: str = ""
    rate: float | None = None
    left_s: float | None = None
    seconds: float | None = None
    message: str = ""
    share: float | None = None


@dataclass
class Account:
    """A run as its log tells it.

    state: `running`, `done`, `failed`, `stopped` (by somebody, or its process is gone) or `stalled`.
    alive: whether its process is, None where that is on another machine. silent_s: seconds since the last line.
    figures: of the last epoch that was measured, in `epoch_of`. error: the sentence of what ended it.
    """

    run: str = ""
    attempt: int = 0
    state: str = STALLED
    process: Mapping[str, Any] = field(default_factory=dict)
    alive: bool | None = None
    silent_s: float = 0.0
    stages: dict[str, StageAccount] = field(default_factory=dict)
    epoch_of: str = ""
    epoch: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)
    warnings: int = 0
    warning: str = ""
    error: str = ""

    @property
    def is_going_on(self) -> bool:
        """Whether nobody has to look after it."""
        return self.state in GOING_ON


def account_of(lines: Iterable[Mapping[str, Any]], now: datetime) -> Account | None:
    """Read a log. None when nothing has begun in it."""
    found, ended, last = Account(), "", None
    for line in lines:
        event, stage = line.get("event", ""), line.get("stage")
        last = line.get("time", last)
        if event == "started" and stage is None:
            found, ended = _begun(line, found), ""
        elif event in ("done", "failed", "stopped") and (stage is None or event != "done"):
            ended, found.error = event, "" if event == "done" else line.get("message", "")
            if stage in found.stages:
                found.stages[stage].state = event
        elif event == "warning":
            found.warnings, found.warning = found.warnings + 1, line.get("message", "")
        elif event == "measured":
            found.epoch_of, found.epoch, found.figures = str(stage), int(line["step"]), line["figures"]
        elif stage in found.stages:
            _of_stage(found.stages[stage], event, line)
    if not found.attempt or last is None:
        return None
    found.silent_s = max((now - datetime.fromisoformat(last)).total_seconds(), 0.0)
    _judge(found, ended)
    return found


def _begun(line: Mapping[str, Any], before: Account) -> Account:
    """A new attempt; the last figures of a training are still the last ones."""
    stages = {name: StageAccount(name) for name in line["stages"]}
    return Account(
        line["run"], int(line["attempt"]), process=line["process"], stages=stages, epoch_of=before.epoch_of,
        epoch=before.epoch, figures=before.figures,
    )  # fmt: skip


def _of_stage(stage: StageAccount, event: str, line: Mapping[str, Any]) -> None:
    if event == "skipped":
        stage.state, stage.message = (DONE if "inputs" in line else SKIPPED), line.get("message", "")
        return
    if event not in ("started", "progress", "done"):
        return
    stage.state = DONE if event == "done" else RUNNING
    stage.message = line.get("message", "")
    if event == "progress" and line.get("work") not in (None, stage.name):
        # A part of the stage, such as its candidates: how far that is says nothing of the whole.
        stage.message = f"{line['work']} {line.get('done', 0):,g}" + (
            f"/{line['total']:,g}" if line.get("total") else ""
        )
        return
    stage.done, stage.total = float(line.get("done", 0.0)), line.get("total")
    stage.unit, stage.rate, stage.left_s = line.get("unit", ""), line.get("rate"), line.get("left_s")
    if stage.total and line.get("work") == stage.name:
        stage.share = min(stage.done / stage.total, 1.0)
    if event == "done":
        stage.seconds, stage.left_s, stage.share = line.get("figures", {}).get("seconds"), None, None


def _judge(account: Account, ended: str) -> None:
    """The state of the whole, and of the stage that it is at."""
    account.alive = False if ended else lives(account.process)
    if ended:
        account.state = {"done": DONE, "failed": FAILED}.get(ended, STOPPED)
    elif account.alive is False:
        account.state, account.error = STOPPED, GONE
    elif account.silent_s > SILENT_S:
        account.state, account.error = STALLED, SILENT
    else:
        account.state = RUNNING
    for stage in account.stages.values():
        if stage.state == RUNNING:
            stage.state = account.state if account.state != DONE else DONE


def utc_now() -> datetime:
    """The time that the ages of lines are counted from."""
    return datetime.now(UTC)
