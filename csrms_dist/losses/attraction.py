"""Attraction to same-class positives: a target of the loss, never an input of a head that predicts."""

from __future__ import annotations

import torch
from torch import Tensor

from csrms_dist.losses.distance import euclidean
from csrms_dist.losses.term import ALONE, Reducer, ScaledTerm, View, weighted
from csrms_dist.sampling.subgraph import POSITIVE


class Attraction(ScaledTerm):
    """Mean over the n positives of 1 - 1 / (1 + d / s), s the running mean distance.

    Called with features (B, D), positives (B, n, D), mask (B, n) and, perhaps, weights (B,) of the anchors; returns the
    mean over the batch, a differentiable zero when there are no positives.
    """

    edge_types = (POSITIVE,)

    def __call__(
        self,
        features: Tensor,
        positives: Tensor,
        mask: Tensor,
        reducer: Reducer = ALONE,
        weights: Tensor | None = None,
    ) -> Tensor:
        distance = euclidean(features[:, None], positives)
        sums = reducer.total(torch.stack([(distance.detach() * mask).sum(), mask.sum().to(distance.dtype)]))
        attracted = mask * (1 - 1 / (1 + distance / self.scale.update(sums[0], sums[1])))
        value = attracted.sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return weighted(value, weights).sum() / reducer.size(len(features))

    def of(self, view: View) -> Tensor:
        return self(view.unit, *view.neighbours(POSITIVE), view.reducer, view.weights)
