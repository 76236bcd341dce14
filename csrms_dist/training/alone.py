"""Train in this process, without a cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.collective import Collective
from csrms_dist.run_contents import RunContents
from csrms_dist.sampling.protocol import SamplerType
from csrms_dist.sampling.reference_sampler import ReferenceSampler
from csrms_dist.training.checkpoint import CheckpointStore, FolderStore, files_beside
from csrms_dist.training.from_run import assemble
from csrms_dist.training.loop import EpochReport, fit
from csrms_dist.training.recipe import Recipe
from csrms_dist.training.within import Looks


def train_alone(
    role: str,
    run: RunDirectory | str | Path,
    recipe: Recipe,
    *,
    n_images: int | None = None,
    work: Path | None = None,
    checkpoints: CheckpointStore | None = None,
    checkpoint_s: float = 0.0,
    on_epoch: Callable[[int, EpochReport], None] | None = None,
    sampler_type: SamplerType = ReferenceSampler,
) -> dict[str, Any]:
    """Train a role in this process; the artefacts that its stage requires must be there.

    n_images: images in all, by default the role's epochs. work: a folder for checkpoints and the feature bank; the same
    call goes on from there after an interruption. checkpoints: where they lie instead. checkpoint_s: seconds between
    two within an epoch, 0 for none. sampler_type: DGL's draws the same edges. Returns the last state: `model`
    (weights), `history`, ....
    """
    directory = run if isinstance(run, RunDirectory) else RunDirectory(run)
    torch.use_deterministic_algorithms(True)
    training = assemble(role, RunContents(directory), recipe, Collective(), work=work, sampler_type=sampler_type)
    total = n_images if n_images is not None else training.optimiser.epochs * len(training.data)
    store = checkpoints or (FolderStore(work) if work is not None else None)
    held = store.load() if store is not None else None
    last: dict[str, Any] = held or {}

    def save(state: dict[str, Any]) -> None:
        if store is not None:
            store.save(state, files_beside(work) if work is not None else [])

    def keep(done: int, state: dict[str, Any]) -> None:
        save(state)
        last.update(state)
        if on_epoch is not None:
            on_epoch(done, state["history"][-1])

    fit(
        training.method, training.data, training.optimiser, n_images=total, seed=recipe.seed,
        sampler=training.sampler, on_epoch=keep, resume=held, placement=training.placement,
        order=training.order, looks=Looks(checkpoint_s) if checkpoint_s else None, on_part=save,
    )  # fmt: skip
    return last
