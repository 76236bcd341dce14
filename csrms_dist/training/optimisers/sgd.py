"""Stochastic gradient descent with Nesterov momentum (Sutskever et al., 2013)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from csrms_dist.training.settings import OptimiserSettings


def sgd(parameters: Iterable[Tensor], settings: OptimiserSettings, fused: bool = False) -> torch.optim.Optimizer:
    """torch's; `weight_decay` times a weight is added to its gradient."""
    return torch.optim.SGD(
        parameters,
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.momentum > 0,
        fused=fused or None,
    )
