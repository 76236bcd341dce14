"""A training in this process: for one worker, where no cluster is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from csrms_dist.basics.progress import Progress
from csrms_dist.features.extraction import THREADS
from csrms_dist.sampling.dgl_sampler import DglSampler
from csrms_dist.training.alone import train_alone
from csrms_dist.training.loop import EpochReport
from ray_jobs.on_ray.curves import Curves
from ray_jobs.on_ray.trainer import Order, note
from ray_jobs.settings import settings_from
from ray_jobs.stop_points import passed


def train_in_process(order: Order) -> dict[str, Any]:
    """Train here, to the bytes that one worker of Ray Train gives; returns the state of the last epoch.

    Resumes as `on_ray.trainer.train_in_workers` does, from the same checkpoints.
    """
    order.work.mkdir(parents=True, exist_ok=True)
    held = order.store.load()
    history: list[EpochReport] = list(held["history"]) if held else []
    with (
        _as_a_worker(),
        Progress(order.role, total=order.n_epochs, unit="epochs") as progress,
        Curves(order.curves) as curves,
    ):
        progress.resume_at(len(history))

        def on_epoch(done: int, report: EpochReport) -> None:
            history.append(report)
            curves.put(history)
            progress.set(done, "  ".join(note(report)))
            passed(f"{order.role}.{done}")

        return train_alone(
            order.role, order.run, settings_from(order.settings).recipe, n_images=order.n_images, work=order.work,
            checkpoints=order.store, checkpoint_s=order.checkpoint_s, on_epoch=on_epoch, sampler_type=DglSampler,
        )  # fmt: skip


@contextmanager
def _as_a_worker() -> Iterator[None]:
    """The threads and algorithms of torch that every worker has; this process has its own again afterwards."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
