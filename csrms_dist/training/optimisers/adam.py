"""Adam (Kingma and Ba, 2015), with torch's betas, .9 and .999, and its epsilon, 1e-8."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from csrms_dist.training.settings import OptimiserSettings


def adam(parameters: Iterable[Tensor], settings: OptimiserSettings, fused: bool = False) -> torch.optim.Optimizer:
    """torch's; `weight_decay` times a weight is added to its gradient, as with SGD, so that it is scaled with it: the
    penalty is not decoupled (AdamW). `momentum` is SGD's alone."""
    return torch.optim.Adam(parameters, lr=settings.lr, weight_decay=settings.weight_decay, fused=fused or None)
