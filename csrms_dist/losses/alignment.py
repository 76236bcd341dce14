"""Alignment as a loss (CSRMS eq. 11-12): a representation is drawn to its prototypes, which never enter a head."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from csrms_dist.losses.distance import euclidean
from csrms_dist.losses.term import ALONE, Reducer, ScaledTerm, View, weighted


class AlignmentLoss(ScaledTerm):
    """Mean over the cluster's and the class's prototype of 1 - 1 / (1 + d / s), s the running mean distance.

    Called with representations (B, D) and prototypes (B, 2, D), both of length 1, and, perhaps, weights (B,) of the
    anchors; returns the mean over the batch. The prototypes are chosen by the label, which a target of a loss may be.
    """

    label_prototypes = True

    def __call__(
        self, features: Tensor, prototypes: Tensor, reducer: Reducer = ALONE, weights: Tensor | None = None
    ) -> Tensor:
        distance = euclidean(features[:, None], prototypes)
        number = distance.new_tensor(float(distance.numel()))
        sums = reducer.total(torch.stack([distance.detach().sum(), number]))
        value = (1 - 1 / (1 + distance / self.scale.update(sums[0], sums[1]))).mean(dim=1)
        return weighted(value, weights).sum() / reducer.size(len(features))

    def of(self, view: View) -> Tensor:
        prototypes = normalize(torch.stack(view.prototypes(), dim=1), dim=2)
        return self(normalize(view.smoothed, dim=1), prototypes, view.reducer, view.weights)
