"""The cells of an experiment, in an order in which each finds what it needs: shared stages, the lr, the comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from csrms_dist.art.two_level.executors import Executor
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.progress import Progress
from csrms_dist.errors import ConfigError
from ray_jobs.experiments.cells import FINAL, SEARCH, Cell, complete, make_shared
from ray_jobs.experiments.shared_stages import SHARED, SharedStages
from ray_jobs.experiments.spec import KNN, Row, Spec
from ray_jobs.on_ray.actors import executor_of
from ray_jobs.on_ray.session import shared_session
from ray_jobs.pipeline import Work
from ray_jobs.settings import RunSettings, most, settings_from

RUN_FOLDER, NOTES, SHARED_FOLDER = "runs", "outcomes", "shared"

Outcome = Mapping[str, Any]
Choices = Mapping[tuple[str, str], float | None]
"""(data, row) -> the chosen lr, None where none of the grid trains or the row has none."""


def run_experiment(spec: Spec, out: RunDirectory, jobs: int) -> tuple[list[Outcome], list[Outcome]]:
    """Run what is not done yet; the outcomes of the runs that chose the lr, and of those that are compared.

    jobs: runs at a time, on Ray where there are more than one. Raises what a run raises; the same call goes on then.
    """
    if jobs > 1:
        _refuse_workers(spec)
    with out.lock(), shared_session():
        search = [_cell(spec, out.path, data, row, SEARCH, spec.lr_seed, lr) for data, row, lr in _grid(spec)]
        searched = _complete("lr", search, jobs)
        chosen = choices(spec, searched)
        final = [
            _cell(spec, out.path, data, row, FINAL, seed, chosen[data, row.name])
            for seed in spec.seeds  # whole seeds first: what is stopped early can be compared
            for data in spec.data
            for row in spec.rows_of(data)
            if seed in spec.seeds_of(row) and (chosen[data, row.name] is not None or not _has_lr(spec, data, row))
        ]
        return searched, _complete("runs", final, jobs)


def choices(spec: Spec, searched: Iterable[Outcome]) -> Choices:
    """The lr of the best validation score, of equal ones the smaller; the only one of a grid of one."""
    found: dict[tuple[str, str], float | None] = {}
    best: dict[tuple[str, str], float] = {}
    for data in spec.data:
        for row in spec.rows_of(data):
            found[data, row.name] = spec.lr[0] if _has_lr(spec, data, row) and len(spec.lr) == 1 else None
    for outcome in sorted(searched, key=lambda some: some["lr"]):
        key = outcome["data"], outcome["row"]
        if not outcome["failed"] and outcome["score"] > best.get(key, float("-inf")):
            best[key], found[key] = outcome["score"], outcome["lr"]
    return found


def _has_lr(spec: Spec, data: str, row: Row) -> bool:
    """Whether anything of a row is trained: nearest neighbours on a frozen encoder's features need no lr."""
    return row.answers != KNN or not spec.settings(data, row, spec.lr_seed, None).encoder.frozen


def _grid(spec: Spec) -> list[tuple[str, Row, float]]:
    if len(spec.lr) == 1:
        return []
    return [(d, row, lr) for lr in spec.lr for d in spec.data for row in spec.rows_of(d) if _has_lr(spec, d, row)]


def _cell(spec: Spec, out: Path, data: str, row: Row, kind: str, seed: int, lr: float | None) -> Cell:
    which = f"lr-{lr:g}" if kind == SEARCH else f"seed-{seed}"
    folder = Path(data.replace("/", "-")) / row.folder / which
    return Cell(
        data=data,
        row=row.name,
        kind=kind,
        seed=seed,
        lr=lr,
        head=row.head,
        answers=row.answers,
        settings=_alone(spec.settings(data, row, seed, lr)),
        place=str(out / RUN_FOLDER / folder),
        note=str(out / NOTES / f"{folder}.json"),
        shared=str(out / SHARED_FOLDER),
    )


def _alone(settings: RunSettings) -> RunSettings:
    """The same run in one process, so that several of them share the machine; no result depends on it."""
    values = settings.as_mapping()
    for section in ("features", "cluster", "evaluate"):
        if values[section]["actors"] == "auto":
            values[section]["actors"] = 1
    return settings_from(values)


def _refuse_workers(spec: Spec) -> None:
    for data in spec.data:
        for row in spec.rows_of(data):
            settings = spec.settings(data, row, spec.lr_seed, None)
            for key in ("pretrain.workers", "train.workers"):
                if most(settings.select(key)) > 1:
                    raise ConfigError(
                        "--jobs", got=f"more than 1 with {key} {settings.select(key)} in the row {row.name!r}",
                        expected="runs one after the other, each with its workers", remedy="set --jobs 1",
                    )  # fmt: skip


def _complete(what: str, cells: Sequence[Cell], jobs: int) -> list[Outcome]:
    """The outcomes of cells, in their order."""
    if not cells:
        return []
    works = [cell.prepared() for cell in cells]  # says before the first run what cannot work
    waiting = [(cell, work) for cell, work in zip(cells, works, strict=True) if not cell.is_done(work)]
    jobs = max(1, min(jobs, len(waiting)))
    with executor_of(jobs, jobs + 1, "runs", what) as executor:
        for stage in SHARED:
            _share(waiting, stage, executor)
        with Progress(what, total=len(cells), unit="runs") as progress:
            progress.resume_at(len(cells) - len(waiting))

            def show(number: int) -> None:
                cell, _ = waiting[number]
                lr = "" if cell.lr is None else f", lr {cell.lr:g}"
                progress.update(1, f"{cell.data}: {cell.row}, seed {cell.seed}{lr}")

            executor.map(complete, [(cell,) for cell, _ in waiting], show)
    outcomes = [cell.outcome() for cell in cells]
    return [outcome for outcome in outcomes if outcome is not None]


def _share(cells: Sequence[tuple[Cell, Work]], stage: str, executor: Executor) -> None:
    """Make what several of the cells have in common once, up to a stage."""
    wanted: dict[str, Cell] = {}
    number: dict[str, int] = {}
    for cell, work in cells:
        if stage not in work.inputs:
            continue
        key = work.inputs[stage]
        number[key] = number.get(key, 0) + 1
        if not SharedStages(Path(cell.shared)).has(stage, key):
            wanted.setdefault(key, cell)
    tasks = [
        (cell, str(Path(cell.shared) / "runs" / key[:24]), stage) for key, cell in wanted.items() if number[key] > 1
    ]
    if tasks:
        with Progress("shared", total=len(tasks), unit="runs") as progress:
            executor.map(make_shared, tasks, lambda _: progress.update(1, f"up to the stage {stage}"))
