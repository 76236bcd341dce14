"""Command clean: what of a run can be made again goes, and what it takes is free."""

from __future__ import annotations

from dataclasses import dataclass

from csrms_dist.artefacts.names import CANDIDATES, CHECKPOINTS
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.methods.stages import EVALUATE, IMAGES, TRAIN
from ray_jobs.plan.estimates import MB
from ray_jobs.plan.text import size


@dataclass(frozen=True)
class Removable:
    """What can go of a run, by its name there; what that costs, and how much it is."""

    name: str
    cost: str
    mb: float


def clean(run: RunDirectory, *, really: bool) -> str:
    """Remove what a run no longer needs, or only say what that is; the account for a person.

    Predictions, metrics, models, features, clusters and the graph stay, so `query`, `predict` and a run that skips what
    is done go on as before; a stage that needs the rest again makes it again. Raises RunDirectoryError for a run that
    another command is writing.
    """
    with run.lock():
        found = removable(run)
        lines = [f"  {item.name:<24}{size(item.mb):>8}   {item.cost}" for item in found]
        total = size(sum(item.mb for item in found))
        if not found:
            return f"{run.uri}: nothing to remove"
        if not really:
            return "\n".join([f"{run.uri}: {total} can go", *lines, "nothing was removed; add --yes to do it"])
        for item in found:
            if item.name == IMAGES.name:
                run.discard(IMAGES.name)
            else:
                run.remove(item.name)
        return "\n".join([f"{run.uri}: {total} removed", *lines])


def removable(run: RunDirectory) -> list[Removable]:
    """What can go: leftovers of stages that were stopped, and what only stages that are done have read."""
    done = {stage.name for stage in (IMAGES, TRAIN, EVALUATE) if run.stamp(stage.name) is not None}
    found = [
        (f"{CHECKPOINTS}/{name}", "a stage that was stopped: it begins anew instead of going on")
        for name in run.names(CHECKPOINTS)
    ]
    found += [(name, "of an attempt that was killed") for name in run.leftovers()]
    if TRAIN.name in done and run.exists(CANDIDATES):
        found.append((CANDIDATES, "made again if the method is trained again"))
    if {IMAGES.name, EVALUATE.name} <= done and not run.is_discarded(IMAGES.name):
        found.append((IMAGES.name, "made again from the data set if a stage needs it"))
    return [Removable(name, cost, run.bytes_of(name) / MB) for name, cost in found]
