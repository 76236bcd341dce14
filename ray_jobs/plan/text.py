"""A plan as text, and what finished stages took compared with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from csrms_dist.artefacts.names import RECORD
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.progress import duration
from ray_jobs.plan.estimates import MB, Estimate
from ray_jobs.stages.table import commands


@dataclass(frozen=True)
class Planned:
    """An estimate of a stage; whether that stage is done."""

    stage: str
    estimate: Estimate
    done: bool


@dataclass(frozen=True)
class Measured:
    """Time, memory and disk of a finished stage; None where it was not noted."""

    seconds: float | None
    memory_mb: float | None
    disk_mb: float


def plan_text(planned: Sequence[Planned], uri: str, cores: int) -> str:
    """A line a stage, and what is left to do in all."""
    head = ("stage", "", "rows", "passes", "memory", "disk", "time")
    rows = [head]
    for item in planned:
        e = item.estimate
        state = "done" if item.done else ""
        figures = (f"{e.rows:,}", _count(e.passes.total), size(e.memory_mb), size(e.disk_mb), duration(e.seconds))
        rows.append((item.stage, state, *figures))
    waiting = [item.estimate for item in planned if not item.done]
    if waiting:
        memory, disk = max(e.memory_mb for e in waiting), sum(e.disk_mb for e in waiting)
        passes, seconds = (sum(values) for values in zip(*((e.passes.total, e.seconds) for e in waiting), strict=True))
        total = (_count(passes), size(memory), size(disk), duration(seconds))
        rows.append(("to do", "", "", *total))
    lines = [f"Plan of {uri} on {cores} cores", *_aligned(rows)]
    if waiting:
        working = size(max(e.working_mb for e in waiting))
        lines.append("memory: of the largest process, private; time: on a machine that does nothing else")
        lines.append(f"disk: what stays; up to {working} more while a stage runs")
    else:
        lines.append("everything is done")
    return "\n".join(lines)


def sizes_text(images: Sequence[int], planned: Sequence[Sequence[Planned]], uri: str, cores: int) -> str:
    """Time, memory and disk of each stage, a column for each number of images."""
    stages = [item.stage for item in planned[0]]
    columns = [[item.estimate for item in some] for some in planned]
    head = [f"{number:,}" for number in images]
    rows: list[tuple[str, ...]] = []
    for name, total, in_all, written in (
        ("time", "in all", sum, duration), ("memory", "the most", max, size), ("disk", "in all", sum, size)
    ):  # fmt: skip
        values = [[_figure(estimate, name) for estimate in column] for column in columns]
        rows += [(name, *head)]
        rows += [(stage, *(written(some[place]) for some in values)) for place, stage in enumerate(stages)]
        rows += [(total, *(written(in_all(some)) for some in values)), ("", *("" for _ in head))]
    working = ", ".join(size(max(estimate.working_mb for estimate in column)) for column in columns)
    return "\n".join([
        f"What so many images like those of {uri} would take on {cores} cores, from what a sample takes here",
        *_aligned(rows[:-1]),
        "memory: of the largest process, private; mapped files take what is free besides",
        f"disk: what stays; up to {working} more while a stage runs",
    ])  # fmt: skip


def _figure(estimate: Estimate, name: str) -> float:
    return {"time": estimate.seconds, "memory": estimate.memory_mb, "disk": estimate.disk_mb}[name]


def comparison_text(directory: RunDirectory, planned: Sequence[Planned]) -> str:
    """Estimate against measured, a line for each finished stage; '' where there is none."""
    noted = (directory.read_json(RECORD) or {}).get("stages", {})
    rows: list[tuple[str, ...]] = [
        ("stage", "time", "estimated", "ratio", "memory", "estimated", "ratio", "disk", "estimated", "ratio")
    ]
    taken, expected = 0.0, 0.0
    for item in (item for item in planned if item.done):
        estimate, found = item.estimate, measured(directory, item.stage, noted.get(item.stage, {}))
        if found.seconds is not None:
            taken, expected = taken + found.seconds, expected + estimate.seconds
        rows.append(
            (
                item.stage,
                *_compared(found.seconds, estimate.seconds, duration),
                *_compared(found.memory_mb, estimate.memory_mb, size),
                *_compared(found.disk_mb, estimate.disk_mb, size),
            )
        )
    if len(rows) == 1:
        return ""
    if taken:
        rows.append(("in all", *_compared(taken, expected, duration), "", "", "", "", "", ""))
    return "\n".join(["Measured against the plan (ratio: measured / estimated)", *_aligned(rows)])


def measured(directory: RunDirectory, stage: str, noted: Mapping[str, Any]) -> Measured:
    """The notes of run.json on a stage, and the size of its files."""
    known = commands().get(stage)
    disk = sum(directory.bytes_of(name) for name in (stage, *(known.beside if known else ())))
    return Measured(noted.get("seconds"), noted.get("peak_mb"), disk / MB)


def _compared(found: float | None, estimate: float, written: Any) -> tuple[str, str, str]:
    if found is None:
        return "-", written(estimate), "-"
    return written(found), written(estimate), f"{found / estimate:.2f}" if estimate else "-"


def _count(passes: float) -> str:
    return f"{passes:,.0f}" if passes else "-"


def size(mb: float) -> str:
    """Megabytes of 10^6 bytes: '48 kB', '4.9 MB', '420 MB', '12.3 GB'."""
    if mb < 0.95:
        return f"{1000 * mb:.0f} kB"
    if mb < 9.95:
        return f"{mb:.1f} MB"
    return f"{mb:,.0f} MB" if mb < 9950 else f"{mb / 1000:,.1f} GB"


def _aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """The first column to the left, the others to the right; a column without text is left out."""
    table = np.array(list(rows), dtype=object)
    table = table[:, [any(column) for column in table.T]]
    widths = [max(map(len, column)) for column in table.T]
    return ["  ".join(map(_justified, row, widths, range(len(row)))).rstrip() for row in table]


def _justified(text: str, width: int, column: int) -> str:
    return text.rjust(width) if column else text.ljust(width)
