"""Terms of an anchor's drawn positives against its drawn negatives, by the losses of pytorch-metric-learning."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from csrms_dist.losses.metric_learning import PACKAGE, unreduced
from csrms_dist.losses.term import ALONE, Reducer, Term, View, weighted
from csrms_dist.sampling.subgraph import NEGATIVE, POSITIVE

ANCHORS_AT_ONCE = 32
"""The library compares every positive pair that it is given with every negative pair: memory is their product."""


class DrawnPairs(Term):
    """The mean of a loss over the pairs or triplets of each anchor, then over the global batch.

    Called with features (B, D), positives (B, n, D), their mask (B, n), negatives (B, m, D), their mask (B, m) and,
    perhaps, weights (B,) of the anchors. An anchor without positives or without negatives counts 0.
    """

    edge_types = (POSITIVE, NEGATIVE)
    packages = (PACKAGE,)
    loss: ClassVar[str]

    def __init__(self, **options: Any) -> None:
        self._loss = unreduced(self.loss, **options)

    def __call__(
        self,
        features: Tensor,
        positives: Tensor,
        has_positive: Tensor,
        negatives: Tensor,
        has_negative: Tensor,
        reducer: Reducer = ALONE,
        weights: Tensor | None = None,
    ) -> Tensor:
        given = (features, positives, has_positive, negatives, has_negative)
        parts = [torch.split(x, ANCHORS_AT_ONCE) for x in given]
        values = torch.cat([self._values(*some) for some in zip(*parts, strict=True)])
        return weighted(values, weights).sum() / reducer.size(len(features))

    def _values(
        self, features: Tensor, positives: Tensor, has_positive: Tensor, negatives: Tensor, has_negative: Tensor
    ) -> Tensor:
        """(c, D) anchors and their neighbours -> (c,) mean losses."""
        complete = (has_positive.any(dim=1) & has_negative.any(dim=1))[:, None]
        anchor, place = (has_positive & complete).nonzero(as_tuple=True)
        other, place_of_other = (has_negative & complete).nonzero(as_tuple=True)
        zero = features.sum(dim=1) * 0
        if len(anchor) == 0:
            return zero
        if len(anchor) == 1:
            # The library takes a single pair of each kind for none. Twice the same positive has the same mean.
            anchor, place = anchor.repeat(2), place.repeat(2)
        around = torch.cat([positives.flatten(0, 1), negatives.flatten(0, 1)])
        positive = anchor * positives.shape[1] + place
        negative = len(positives.flatten(0, 1)) + other * negatives.shape[1] + place_of_other
        found = self._loss(features, indices_tuple=(anchor, positive, other, negative), ref_emb=around)["loss"]
        losses: Tensor = found["losses"]
        owner: Tensor = found["indices"][0] == torch.arange(len(features), device=features.device)[:, None]
        share = owner / owner.sum(dim=1, keepdim=True).clamp(min=1)
        return zero + share.to(zero.dtype) @ losses

    def of(self, view: View) -> Tensor:
        positives, negatives = view.neighbours(POSITIVE), view.neighbours(NEGATIVE)
        return self(view.unit, *positives, *negatives, view.reducer, view.weights)
