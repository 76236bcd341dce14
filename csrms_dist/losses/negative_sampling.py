"""The negative-sampling constraint (CSRMS eq. 14): keep an anchor away from its look-alike negatives."""

from __future__ import annotations

import torch
from torch import Tensor

from csrms_dist.losses.distance import euclidean
from csrms_dist.losses.term import ALONE, Reducer, ScaledTerm, View, weighted
from csrms_dist.sampling.subgraph import NEGATIVE


class NegativeSampling(ScaledTerm):
    """Repelling form (default): mean over the m negatives of mu / (1 + d / s), s the running mean distance.

    `printed=True` is eq. 14 as printed, -log(mu theta / (sum_q d_q + theta)) with mu and theta 1: it *attracts*, since
    it grows with the distance; it exists to be compared.
    Called with features (B, D), negatives (B, m, D), mask (B, m) and, perhaps, weights (B,) of the anchors; returns the
    mean over the batch, a differentiable zero when there are no negatives.
    """

    edge_types = (NEGATIVE,)

    def __init__(self, *, printed: bool = False, mu: float = 1.0, theta: float = 1.0) -> None:
        super().__init__()
        self.printed, self.mu, self.theta = printed, mu, theta

    def __call__(
        self,
        features: Tensor,
        negatives: Tensor,
        mask: Tensor,
        reducer: Reducer = ALONE,
        weights: Tensor | None = None,
    ) -> Tensor:
        distance = euclidean(features[:, None], negatives)
        size = reducer.size(len(features))
        if self.printed:
            total = (distance * mask).sum(dim=1)
            value = torch.log((total + self.theta) / self.theta) * mask.any(dim=1)
            return self.mu * weighted(value, weights).sum() / size
        sums = reducer.total(torch.stack([(distance.detach() * mask).sum(), mask.sum().to(distance.dtype)]))
        repelled = mask / (1 + distance / self.scale.update(sums[0], sums[1]))
        value = repelled.sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return self.mu * weighted(value, weights).sum() / size

    def of(self, view: View) -> Tensor:
        return self(view.unit, *view.neighbours(NEGATIVE), view.reducer, view.weights)
