"""The training loop: any number of workers, resumable after every epoch, the same samples for a given seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.collective import Collective
from csrms_dist.basics.hashing import mix, permutation
from csrms_dist.basics.lookup import resolve
from csrms_dist.methods.protocol import Method
from csrms_dist.sampling.protocol import Sampler
from csrms_dist.training.batches import TrainingData, batches
from csrms_dist.training.optimisers import OPTIMISERS
from csrms_dist.training.orders.ground import Order
from csrms_dist.training.placement import CPU, Placement
from csrms_dist.training.schedules.rate import learning_rate, pace_of
from csrms_dist.training.settings import OptimiserSettings
from csrms_dist.training.train_step import refuse_divergence, refuse_lost_weights, train_step
from csrms_dist.training.within import Looks, own_sums, shared_sums

EpochReport = dict[str, float]

_STREAM = 0x73747265


def global_batches(
    n_rows: int, batch_size: int, n_images: int, seed: int, epoch: int, order: Order | None = None
) -> list[I64]:
    """The global batches of an epoch, equal on every worker: of a permutation from (seed, epoch), or of another order.

    The last epoch ends early when `n_images`, the images of the whole training, are used up.
    """
    rows = permutation(n_rows, seed, epoch) if order is None else order(epoch)
    rows = rows[: max(n_images - epoch * n_rows, 0)]
    starts = range(0, len(rows), batch_size)[: n_batches(len(rows), batch_size)]
    return [rows[start : start + batch_size] for start in starts[:-1]] + [rows[start:] for start in starts[-1:]]


def n_batches(n_images: int, batch_size: int) -> int:
    """Batches of an epoch. A rest of one image joins the batch before it: batch normalisation needs two values."""
    return -(-n_images // batch_size) - (n_images % batch_size == 1 and n_images > batch_size > 1)


def fit(
    method: Method,
    data: TrainingData,
    settings: OptimiserSettings,
    *,
    n_images: int,
    seed: int,
    collective: Collective | None = None,
    sampler: Sampler | None = None,
    on_epoch: Callable[[int, dict[str, Any]], None] | None = None,
    resume: dict[str, Any] | None = None,
    placement: Placement = CPU,
    order: Order | None = None,
    looks: Looks | None = None,
    on_part: Callable[[dict[str, Any]], None] | None = None,
) -> list[EpochReport]:
    """Train on `n_images` images in all and return a report an epoch.

    `order` says which rows come together; None: all of them once an epoch, in random order.

    `on_epoch(epochs done, state)` gets everything that `resume` needs to go on as if nothing had happened. What is in
    it goes on changing: save it before returning. `on_part(state)` gets the same within an epoch, where `looks` says
    so; what goes on from there sees the same samples and reports the same sums. Raises DataError, before `on_epoch`,
    when the loss or a weight is not finite.
    """
    collective = collective or Collective()
    optimiser = resolve(OPTIMISERS[settings.optimiser])(method.module.parameters(), settings)
    n_rows = len(data)
    n_epochs = -(-n_images // n_rows)
    history: list[EpochReport] = []
    if resume is not None:
        method.module.load_state_dict(resume["model"])
        optimiser.load_state_dict(resume["optimiser"])
        method.load_state_dict(resume["method"])
        history = list(resume["history"])
    part = None if resume is None else resume.get("part")
    steps_before = [0]
    for epoch in range(n_epochs):
        images = min(n_rows, n_images - epoch * n_rows)
        steps_before.append(steps_before[-1] + n_batches(images, settings.batch_size))
    pace = pace_of(settings, steps_before[-1], steps_before[min(1, n_epochs)])
    for epoch in range(len(history), n_epochs):
        method.module.train()
        method.begin_epoch(history, n_epochs, collective)
        totals: dict[str, float] = {}
        observed: dict[str, Tensor] = {}
        images = encoded = done = 0
        if part is not None:
            done, images = part["batches"], part["images"]
            totals, observed, encoded = own_sums(part, collective.rank)
            method.load_part_state(part["method"])
            part = None
        rows = global_batches(n_rows, settings.batch_size, n_images, seed, epoch, order)
        for batch in batches(method, data, rows[done:], epoch, collective, sampler, placement):
            step = steps_before[epoch] + done
            done += 1
            # Dropout in an encoder of the user's draws from torch's stream: it begins anew with every step.
            torch.manual_seed(int(mix(_STREAM, seed, step, collective.rank)[0] >> np.uint64(1)))
            rate = learning_rate(step, pace, settings)
            for group in optimiser.param_groups:
                group["lr"] = rate
            outcome, loss = train_step(method, batch, optimiser, collective)
            size = len(batch.global_rows)
            images += size
            more = 0 if batch.more_rows is None else len(batch.more_rows)
            encoded += len(batch.rows) + more if outcome.encoded is None else outcome.encoded
            values = {"loss": float(loss), **{name: float(term.detach()) for name, term in outcome.terms.items()}}
            for name, value in values.items():
                totals[name] = totals.get(name, 0.0) + value * size
            for name, count in outcome.hits.items():
                totals[f"{name}_accuracy"] = totals.get(f"{name}_accuracy", 0.0) + count
            for name, (total, number_of) in outcome.observed.items():
                pair = torch.stack([total, number_of]).to(torch.float64)
                observed[name] = observed[name] + pair if name in observed else pair
            if looks is not None and looks.due(collective) and done < len(rows) and on_part is not None:
                sums = shared_sums(totals, observed, encoded, collective)
                sums |= {"batches": done, "images": images, "method": method.part_state()}
                on_part(_state(method, optimiser, history) | {"part": sums})
                looks.saved()
        method.end_epoch(collective)
        history.append(_report(totals, images, epoch, collective) | _means(observed, collective))
        encoded = round(float(collective.all_sum(torch.tensor(float(encoded), dtype=torch.float64))))
        if encoded != images:
            history[-1]["encoded"] = float(encoded)
        refuse_divergence(history[-1]["loss"], epoch + 1)
        refuse_lost_weights(method.module.parameters(), epoch + 1)
        if on_epoch is not None:
            on_epoch(epoch + 1, _state(method, optimiser, history))
        if looks is not None:
            looks.saved()
    return history


def _state(method: Method, optimiser: torch.optim.Optimizer, history: list[EpochReport]) -> dict[str, Any]:
    return {
        "model": method.module.state_dict(),
        "optimiser": optimiser.state_dict(),
        "method": method.state_dict(),
        "history": history,
    }


def _means(observed: dict[str, Tensor], collective: Collective) -> EpochReport:
    """Sums and numbers (2,) of what was observed -> means over all workers; what nobody saw is left out."""
    if not observed:
        return {}
    names = sorted(observed)
    summed = collective.all_sum(torch.stack([observed[name].cpu() for name in names])).tolist()
    return {name: total / number for name, (total, number) in zip(names, summed, strict=True) if number > 0}


def _report(totals: dict[str, float], images: int, epoch: int, collective: Collective) -> EpochReport:
    """Sums over this worker's batches -> means over the images of all workers."""
    names = sorted(totals)
    summed = collective.all_sum(torch.tensor([totals[name] for name in names], dtype=torch.float64))
    report = {name: value / images for name, value in zip(names, summed.tolist(), strict=True)}
    return {"epoch": float(epoch + 1), "images": float(images), **report}
