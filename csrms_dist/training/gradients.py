"""A batch's loss and its gradients, added up over workers: exactly, after all are there, or by DDP while they arise."""

from __future__ import annotations

from contextlib import nullcontext
from inspect import signature
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from csrms_dist.basics.collective import Collective
from csrms_dist.methods.protocol import Batch, BatchOutcome, Method
from csrms_dist.training.placement import Placement


class Gradients(Protocol):
    """Adds the gradients of a batch's loss to those of the parameters. Of a group of batches the last sums over
    workers; then no parameter is without a gradient: an optimiser skips it, and its weight decay would depend on the
    number of workers."""

    def add(self, batch: Batch, share: float, *, last: bool) -> tuple[BatchOutcome, Tensor]:
        """share: of this batch in the loss of its group. Returns the outcome and this worker's share of the batch's
        loss, detached."""
        ...


class Summed:
    """In one flat message after the backward pass, so that the sum is the same with gloo on any number of workers."""

    def __init__(self, method: Method, collective: Collective) -> None:
        self._method, self._collective = method, collective

    def add(self, batch: Batch, share: float, *, last: bool) -> tuple[BatchOutcome, Tensor]:
        outcome = self._method.batch(batch, self._collective)
        loss = self._method.objective.total(outcome.terms)
        _backward(loss, share)
        if last:
            self._collective.sum_gradients(self._method.module.parameters())
        return outcome, loss.detach()


_BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")  # torch's newer and older word
    if name in signature(DistributedDataParallel).parameters
)
"""Whether a forward pass begins with the buffers of rank 0: statistics are each worker's own, or SyncBatchNorm's."""


class Overlapped:
    """By DistributedDataParallel, whose messages go while the backward pass goes on. Sums, not means: every worker's
    loss is its share of the whole batch's."""

    def __init__(self, method: Method, collective: Collective) -> None:
        self._parameters = list(method.module.parameters())
        options: dict[str, Any] = {_BUFFERS: False}
        self._parallel = DistributedDataParallel(_Loss(method, collective), find_unused_parameters=True, **options)
        # torch compares a hook's annotations, which it does not read as texts: a lambda has none.
        self._parallel.register_comm_hook(None, lambda state, bucket: _summed(bucket.buffer()))

    def add(self, batch: Batch, share: float, *, last: bool) -> tuple[BatchOutcome, Tensor]:
        with nullcontext() if last else self._parallel.no_sync():
            loss, outcome = self._parallel(batch)
            _backward(loss, share)
        if last:
            for parameter in self._parameters:
                if parameter.requires_grad and parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        return outcome, loss.detach()


def gradients_of(method: Method, collective: Collective, placement: Placement) -> Gradients:
    """Where a single worker computes there is nothing to be added up."""
    kind = Overlapped if placement.overlapped and collective.world > 1 else Summed
    return kind(method, collective)


class _Loss(nn.Module):
    """batch -> (loss, outcome), so that DDP sees one forward pass of one module."""

    def __init__(self, method: Method, collective: Collective) -> None:
        super().__init__()
        self.module = method.module
        self._of = method.batch, method.objective, collective

    def forward(self, batch: Batch) -> tuple[Tensor, BatchOutcome]:
        compute, objective, collective = self._of
        outcome = compute(batch, collective)
        return objective.total(outcome.terms), outcome


def _summed(gradients: Tensor) -> torch.futures.Future[Tensor]:
    work = dist.all_reduce(gradients, async_op=True)
    future: torch.futures.Future[Tensor] = work.get_future().then(lambda done: done.value()[0])
    return future


def _backward(loss: Tensor, share: float) -> None:
    (loss if share == 1 else loss * share).backward()  # type: ignore[no-untyped-call]
