"""One optimiser step on one global batch."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from csrms_dist.basics.collective import Collective
from csrms_dist.errors import DataError
from csrms_dist.methods.protocol import Batch, BatchOutcome, Method

_REMEDY = "lower the learning rate"


def train_step(
    method: Method, batch: Batch, optimiser: torch.optim.Optimizer, collective: Collective
) -> tuple[BatchOutcome, Tensor]:
    """Loss, backward, gradients summed over workers, step. Returns the outcome and this worker's share of the loss."""
    outcome = method.batch(batch, collective)
    loss = method.objective.total(outcome.terms)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    collective.sum_gradients(method.module.parameters())
    optimiser.step()
    return outcome, loss.detach()


def refuse_divergence(loss: float, epoch: int) -> None:
    """Raise DataError when the loss of an epoch is not finite."""
    if not math.isfinite(loss):
        raise DataError(f"training loss of epoch {epoch}", got=str(loss), expected="a finite number", remedy=_REMEDY)


def refuse_lost_weights(parameters: Iterable[Tensor], epoch: int) -> None:
    """Raise DataError when a weight is not finite: the last step of an epoch does not show in its loss."""
    if not all(bool(parameter.isfinite().all()) for parameter in parameters):
        raise DataError(
            f"weights after epoch {epoch}", got="NaN or infinity", expected="finite numbers", remedy=_REMEDY
        )
