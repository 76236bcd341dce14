"""The negative-sampling constraint (CSRMS eq. 14): keep an anchor away from its look-alike negatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor

from csrms_dist.losses.distance import euclidean
from csrms_dist.losses.term import ALONE, Reducer, ScaledTerm, View, form_of, weighted
from csrms_dist.sampling.subgraph import NEGATIVE


class NegativeSampling(ScaledTerm):
    """mu times a function of the distances d_q to the m negatives of an anchor; mean over the global batch.

    Called with features (B, D), negatives (B, m, D), mask (B, m) and, perhaps, weights (B,) of the anchors; a
    differentiable zero when there are no negatives. FORMS: `repelling` (default), `printed` and `released`.
    Raises ConfigError for another form.
    """

    edge_types = (NEGATIVE,)

    def __init__(self, *, form: str = "repelling", mu: float = 1.0, theta: float = 1.0) -> None:
        super().__init__()
        self._values = form_of(self.FORMS, form, "negative")
        self.mu, self.theta = mu, theta

    def __call__(
        self,
        features: Tensor,
        negatives: Tensor,
        mask: Tensor,
        reducer: Reducer = ALONE,
        weights: Tensor | None = None,
    ) -> Tensor:
        value = self._values(self, euclidean(features[:, None], negatives), mask, reducer)
        return self.mu * weighted(value, weights).sum() / reducer.size(len(features))

    def _repelling(self, distance: Tensor, mask: Tensor, reducer: Reducer) -> Tensor:
        """Mean over negatives of 1 / (1 + d / s), s the running mean distance: falls with the distance."""
        sums = reducer.total(torch.stack([(distance.detach() * mask).sum(), mask.sum().to(distance.dtype)]))
        repelled = mask / (1 + distance / self.scale.update(sums[0], sums[1]))
        return repelled.sum(dim=1) / mask.sum(dim=1).clamp(min=1)

    def _printed(self, distance: Tensor, mask: Tensor, reducer: Reducer) -> Tensor:
        """Eq. 14 as printed, -log(theta / (sum_q d_q + theta)), mu outside: it *attracts*, as it grows with d."""
        total = (distance * mask).sum(dim=1)
        return torch.log((total + self.theta) / self.theta) * mask.any(dim=1)

    def _released(self, distance: Tensor, mask: Tensor, reducer: Reducer) -> Tensor:
        """The code released with the paper: 1 / (1 + log(1 + sum_q d_q)), the sum inside as in eq. 14; it repels."""
        total = (distance * mask).sum(dim=1)
        return mask.any(dim=1) / (1 + torch.log1p(total))

    FORMS: ClassVar[Mapping[str, Callable[[NegativeSampling, Tensor, Tensor, Reducer], Tensor]]] = {
        "repelling": _repelling,
        "printed": _printed,
        "released": _released,
    }

    def of(self, view: View) -> Tensor:
        return self(view.unit, *view.neighbours(NEGATIVE), view.reducer, view.weights)
