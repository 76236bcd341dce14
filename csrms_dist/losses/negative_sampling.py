"""The negative-sampling constraint (CSRMS eq. 14): keep an anchor away from its look-alike negatives."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from csrms_dist.losses.distance import RunningScale, euclidean


class NegativeSampling:
    """Repelling form (default): mean over the m negatives of mu / (1 + d / s), s the running mean distance.

    `printed=True` is eq. 14 as printed, -log(mu theta / (sum_q d_q + theta)) with mu and theta 1: it *attracts*, since
    it grows with the distance; it exists to be compared.
    Called with features (B, D), negatives (B, m, D) detached, mask (B, m), the size of the global batch and an all-sum;
    returns this worker's share, a differentiable zero when there are no negatives.
    """

    def __init__(self, *, printed: bool = False, mu: float = 1.0, theta: float = 1.0) -> None:
        self.printed, self.mu, self.theta = printed, mu, theta
        self.scale = RunningScale()

    def __call__(
        self, features: Tensor, negatives: Tensor, mask: Tensor, global_size: int, all_sum: Callable[[Tensor], Tensor]
    ) -> Tensor:
        distance = euclidean(features[:, None], negatives)
        if self.printed:
            total = (distance * mask).sum(dim=1)
            value = torch.log((total + self.theta) / self.theta) * mask.any(dim=1)
            return self.mu * value.sum() / global_size
        sums = all_sum(torch.stack([(distance.detach() * mask).sum(), mask.sum().to(distance.dtype)]))
        repelled = mask / (1 + distance / self.scale.update(sums[0], sums[1]))
        return self.mu * (repelled.sum(dim=1) / mask.sum(dim=1).clamp(min=1)).sum() / global_size
