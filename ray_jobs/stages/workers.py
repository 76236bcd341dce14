"""A stage that trains: in this process or in Ray Train workers; its checkpoints."""

from __future__ import annotations

import shutil
from typing import Any

from csrms_dist.artefacts.names import CURVES
from csrms_dist.training.recipe import PRETRAIN
from ray_jobs.on_ray.session import uses_ray
from ray_jobs.on_ray.trainer import Order, train_in_workers
from ray_jobs.settings import most
from ray_jobs.stages.context import StageContext
from ray_jobs.stages.in_process import train_in_process


def train(context: StageContext, role: str, n_images: int, n_epochs: int) -> dict[str, Any]:
    """Train a role; returns the state of the last epoch (model, method, history).

    The last epoch's state lies below the run directory until the stage is done; the same command started again goes on
    from there, so a kill repeats at most one epoch, or `train.checkpoint_minutes`. Raises ClusterError when workers are
    lost more often than they may.
    """
    settings = context.settings
    order = Order(
        role=role,
        run=context.run.path,
        work=context.work,
        settings=settings.as_mapping(),
        n_images=n_images,
        n_epochs=n_epochs,
        workers=settings.pretrain.workers if role == PRETRAIN else settings.train.workers,
        checkpoint_s=60 * settings.train.checkpoint_minutes,
        kept=settings.train.checkpoints_kept,
        limit_s=settings.train.stall_seconds,
        slots=context.ray_slots,
        curves=context.run.path / CURVES / role if settings.tensorboard else None,
    )
    return train_in_workers(order) if uses_ray(most(order.workers)) else train_in_process(order)


def discard_checkpoints(context: StageContext) -> None:
    """After the artefact is whole its checkpoints are of no use."""
    shutil.rmtree(context.work, ignore_errors=True)
