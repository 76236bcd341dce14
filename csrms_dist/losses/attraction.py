"""Attraction to same-class positives: a target of the loss, never an input of a head that predicts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from csrms_dist.losses.distance import RunningScale, euclidean


class Attraction:
    """Mean over the n positives of 1 - 1 / (1 + d / s); arguments and result as for NegativeSampling."""

    def __init__(self) -> None:
        self.scale = RunningScale()

    def __call__(
        self, features: Tensor, positives: Tensor, mask: Tensor, global_size: int, all_sum: Callable[[Tensor], Tensor]
    ) -> Tensor:
        distance = euclidean(features[:, None], positives)
        sums = all_sum(torch.stack([(distance.detach() * mask).sum(), mask.sum().to(distance.dtype)]))
        attracted = mask * (1 - 1 / (1 + distance / self.scale.update(sums[0], sums[1])))
        return (attracted.sum(dim=1) / mask.sum(dim=1).clamp(min=1)).sum() / global_size
