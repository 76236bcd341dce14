"""An optimiser by its settings, and how much it keeps."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from csrms_dist.basics.lookup import resolve
from csrms_dist.training.optimisers import OPTIMISERS
from csrms_dist.training.settings import OptimiserSettings


def make_optimiser(parameters: Iterable[Tensor], settings: OptimiserSettings) -> torch.optim.Optimizer:
    """The optimiser that the settings name; on a GPU its fused form. On a CPU that would round otherwise."""
    given = list(parameters)
    fused = all(parameter.is_cuda for parameter in given)
    optimiser: torch.optim.Optimizer = resolve(OPTIMISERS[settings.optimiser])(given, settings, fused)
    return optimiser


def kept_numbers(settings: OptimiserSettings) -> int:
    """Numbers that a training keeps beside each weight: the optimiser's, found by a step of one, and an average."""
    weight = nn.Parameter(torch.zeros(2))
    optimiser = make_optimiser([weight], settings)
    weight.grad = torch.ones(2)
    optimiser.step()
    kept = optimiser.state[weight].values()
    of_optimiser = sum(isinstance(value, Tensor) and value.shape == weight.shape for value in kept)
    return of_optimiser + (settings.ema > 0)
