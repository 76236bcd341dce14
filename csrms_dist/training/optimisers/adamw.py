"""AdamW (Loshchilov and Hutter, 2019), with torch's betas, .9 and .999, and its epsilon, 1e-8."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from csrms_dist.training.settings import OptimiserSettings


def adamw(parameters: Iterable[Tensor], settings: OptimiserSettings, fused: bool = False) -> torch.optim.Optimizer:
    """torch's; `weight_decay` is decoupled: a weight loses lr x weight_decay of itself. `momentum` is SGD's alone."""
    return torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay, fused=fused or None)
