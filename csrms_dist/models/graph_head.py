"""The graph head: smoothing, alignment and a linear classifier on what a context brings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from csrms_dist.models.alignment.alignment import Alignment, Pair
from csrms_dist.models.smoothing.smoother import Smoother


@dataclass(frozen=True)
class GraphContext:
    """The nodes that enter the graph head beside the image's own feature.

    neighbours (B, n, D); mask (B, n) bool; prototypes: None, or the cluster's and the class's, each (B, D).
    """

    neighbours: Tensor
    mask: Tensor
    prototypes: Pair | None = None


class GraphHead(nn.Module):
    """F_g (eq. 9-10) -> F_u (eq. 11) -> F_a (eq. 12) -> logits. forward: (B, D), context -> (B, K) logits, (B, D) F_a.

    smoothing: one of models/smoothing, or a user's own, made for this dimension. alignment: what is done with the
    prototypes of a context that has some.

    framed: nodes and prototypes are scaled to norm sqrt(D): without it a fresh head on the long features of a trained
    encoder has a curvature that the encoder's learning rate cannot take, and training may diverge. The anchor's node is
    added to what the smoothing finds (Kipf and Welling, 2017, appendix B), for a mean of neighbours hardly varies
    between images, so that a layer on top learns nothing in the time in which the plain head does. No gradient goes
    through that node: the encoder has this one of the plain head already, and twice of it some trainings do not
    survive. A user's own smoother gets the nodes as they are, and nothing is added to what it finds.
    """

    def __init__(
        self,
        smoothing: nn.Module,
        dimension: int,
        n_classes: int,
        alignment: Alignment | None = None,
        *,
        framed: bool = True,
    ) -> None:
        super().__init__()
        self.smoothing, self.alignment = smoothing, alignment or Alignment()
        self.framed = framed and isinstance(smoothing, Smoother)
        self.classifier = nn.Linear(dimension, n_classes)

    def forward(self, features: Tensor, context: GraphContext) -> tuple[Tensor, Tensor]:
        own, others, prototypes = self._scaled(features), self._scaled(context.neighbours), context.prototypes
        if prototypes is not None:
            prototypes = self._scaled(prototypes[0]), self._scaled(prototypes[1])
            own = self.alignment.before(own, prototypes)
        smoothed = self._smoothed(own, others, context.mask)
        if prototypes is not None:
            smoothed = self.alignment.after(smoothed, prototypes)
        return self.classifier(smoothed), smoothed

    def _scaled(self, vectors: Tensor) -> Tensor:
        return normalize(vectors, dim=-1) * math.sqrt(vectors.shape[-1]) if self.framed else vectors

    def _smoothed(self, own: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        if not isinstance(self.smoothing, Smoother):
            given: Tensor = self.smoothing(torch.cat([own[:, None], others], dim=1), mask)
            return given
        found = self.smoothing.smooth(own, others, mask)
        return own.detach() + found if self.framed and self.smoothing.adds_own else found
