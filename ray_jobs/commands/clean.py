"""Command clean: what of a run can be made again goes, and what it takes is free."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from csrms_dist.artefacts.names import CANDIDATES, CHECKPOINTS
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.methods.stages import EVALUATE, IMAGES, TRAIN
from ray_jobs.plan.estimates import MB
from ray_jobs.plan.text import size


@dataclass(frozen=True)
class Removable:
    """A folder that can go, and what that costs."""

    path: Path
    cost: str

    @property
    def mb(self) -> float:
        return sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file()) / MB


def clean(run: RunDirectory, *, really: bool) -> str:
    """Remove what a run no longer needs, or only say what that is; the account for a person.

    Predictions, metrics, models, features, clusters and the graph stay, so `query`, `predict` and a run that skips what
    is done go on as before; a stage that needs the rest again makes it again. Raises RunDirectoryError for a run that
    another command is writing.
    """
    with run.lock():
        found = removable(run)
        lines = [f"  {item.path.relative_to(run.path)!s:<24}{size(item.mb):>8}   {item.cost}" for item in found]
        total = size(sum(item.mb for item in found))
        if not found:
            return f"{run.uri}: nothing to remove"
        if not really:
            return "\n".join([f"{run.uri}: {total} can go", *lines, "nothing was removed; add --yes to do it"])
        for item in found:
            if item.path.name == IMAGES.name:
                run.discard(IMAGES.name)
            else:
                shutil.rmtree(item.path)
        return "\n".join([f"{run.uri}: {total} removed", *lines])


def removable(run: RunDirectory) -> list[Removable]:
    """What can go: leftovers of stages that were stopped, and what only stages that are done have read."""
    done = {stage.name for stage in (IMAGES, TRAIN, EVALUATE) if run.stamp(stage.name) is not None}
    found = [
        Removable(path, "a stage that was stopped: it begins anew instead of going on")
        for path in sorted((run.path / CHECKPOINTS).glob("*"))
        if path.is_dir()
    ]
    found += [
        Removable(path, "of an attempt that was killed")
        for path in sorted(run.path.glob(".*.????????"))
        if path.is_dir()
    ]
    if TRAIN.name in done and (run.path / CANDIDATES).is_dir():
        found.append(Removable(run.path / CANDIDATES, "made again if the method is trained again"))
    if {IMAGES.name, EVALUATE.name} <= done and not run.is_discarded(IMAGES.name):
        found.append(Removable(run.path / IMAGES.name, "made again from the data set if a stage needs it"))
    return found
