"""One optimiser step on one or several global batches."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from csrms_dist.errors import ConfigError, DataError
from csrms_dist.methods.protocol import Batch, BatchOutcome
from csrms_dist.training.averaging import AveragedWeights
from csrms_dist.training.gradients import Gradients
from csrms_dist.training.settings import OptimiserSettings

_REMEDY = "lower the learning rate"


class Stepper:
    """Gradients of `accumulate` batches, their norm cut off at `clip`, a step, the average of the weights.

    The loss of a group of batches is the mean over its images, as that of one batch of their size would be, but for
    statistics of a batch, which are those of each.
    """

    def __init__(
        self, module: nn.Module, gradients: Gradients, optimiser: torch.optim.Optimizer, settings: OptimiserSettings
    ) -> None:
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        self._gradients, self.optimiser, self._settings = gradients, optimiser, settings
        self.average = AveragedWeights(module, settings.ema) if settings.ema else None

    def __call__(self, batch: Batch, number: int, sizes: list[int]) -> tuple[BatchOutcome, Tensor]:
        """The batch of this number among those of an epoch, of so many images each; a step where its group ends.

        Returns the outcome and this worker's share of the batch's loss. Raises ConfigError for a batch that the GPU has
        no room for.
        """
        first = number - number % self._settings.accumulate
        group, last = sizes[first : first + self._settings.accumulate], self.is_last(number, sizes)
        if number == first:
            self.optimiser.zero_grad(set_to_none=True)
        try:
            outcome, loss = self._gradients.add(batch, sizes[number] / sum(group), last=last)
        except torch.OutOfMemoryError as error:
            raise out_of_memory(self._settings) from error
        if last:
            if self._settings.clip:
                nn.utils.clip_grad_norm_(self._parameters, self._settings.clip)
            self.optimiser.step()
            if self.average is not None:
                self.average.update()
        return outcome, loss

    def is_last(self, number: int, sizes: list[int]) -> bool:
        """Whether a group ends with the batch of this number."""
        return (number + 1) % self._settings.accumulate == 0 or number + 1 == len(sizes)


def out_of_memory(settings: OptimiserSettings) -> ConfigError:
    """The refusal of a batch that the GPU has no room for, with the batch to try."""
    section, size = settings.section(), settings.batch_size
    half = max(size // 2, 1)
    return ConfigError(
        f"{section}.batch_size", got=f"{size}, for which the GPU's memory is too small", expected="a batch that fits",
        remedy=f"try {half}, with {section}.accumulate {2 * settings.accumulate} for steps of as many images, or "
        "train.precision bfloat16",
    )  # fmt: skip


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
