"""Command status: how far a run is, and whether anybody is still at work, from its log alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pyarrow as pa

from csrms_dist.artefacts.log_file import read_log
from csrms_dist.artefacts.names import LOG
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.progress import duration
from csrms_dist.basics.words import counted
from csrms_dist.errors import RunDirectoryError
from ray_jobs.commands.output import as_json, as_text
from ray_jobs.monitoring.account import Account, StageAccount, account_of, utc_now

NOT_GOING_ON = 8
"""The exit code of a run that failed, was stopped or is stalled: somebody has to look after it."""
ACCURACY = "_accuracy"


def status(run: RunDirectory, form: str) -> tuple[str, int]:
    """The account as a text, `form` table or json, and the command's exit code.

    Raises RunDirectoryError where there is no log.
    """
    account = account_of(read_log(run, LOG), utc_now())
    if account is None:
        raise RunDirectoryError(
            run.uri, got=f"no {LOG} in it", expected="a run directory",
            remedy="`csrms run` writes one as soon as its first stage begins",
        )  # fmt: skip
    text = as_json(_plain(account), indent=2) if form == "json" else "\n".join(_lines(run, account))
    return text, 0 if account.is_going_on else NOT_GOING_ON


def _plain(account: Account) -> dict[str, Any]:
    """The account with its stages as a list; see docs/monitoring.md."""
    return {**dataclasses.asdict(account), "stages": [dataclasses.asdict(stage) for stage in account.stages.values()]}


def _lines(run: RunDirectory, account: Account) -> list[str]:
    lines = [f"{run.uri}: {account.state}, {_life(account)}", as_text(_table(account))]
    if account.figures:
        lines.append(f"last epoch: {account.epoch_of} {account.epoch}, {_figures(account)}")
    if account.warning:
        lines.append(f"last of {counted(account.warnings, 'warning')}: {account.warning}")
    if account.error:
        lines.append(f"{account.state}: {account.error}")
    return lines


def _life(account: Account) -> str:
    process = f"process {account.process.get('pid')} on {account.process.get('host')}"
    ago = f"last sign of life {duration(account.silent_s)} ago"
    if account.alive:
        return f"{ago}, {process} is alive"
    return f"{ago}, of {process}"


def _table(account: Account) -> pa.Table:
    rows = [_row(stage) for stage in account.stages.values()]
    return pa.table({name: [row[name] for row in rows] for name in rows[0]})


def _row(stage: StageAccount) -> dict[str, str]:
    amount = ""
    if stage.done or stage.total:
        whole = f"/{stage.total:,.0f}" if stage.total and stage.seconds is None else ""
        amount = f"{stage.done:,.0f}{whole} {stage.unit}".rstrip()
    return {
        "stage": stage.name,
        "state": stage.state,
        "share": "" if stage.share is None else f"{stage.share:.0%}",
        "amount": amount,
        "rate": f"{stage.rate:,.1f} {stage.unit}/s" if stage.rate else "",
        "time": duration(stage.seconds) if stage.seconds is not None else _left(stage),
        "note": stage.message,
    }


def _left(stage: StageAccount) -> str:
    return f"{duration(stage.left_s)} left" if stage.left_s else ""


def _figures(account: Account) -> str:
    shown = [f"loss {account.figures['loss']:.4f}"] if "loss" in account.figures else []
    shown += [
        f"{name.removesuffix(ACCURACY)} {value:.1%}"
        for name, value in account.figures.items()
        if name.endswith(ACCURACY)
    ]
    return "  ".join(shown)
