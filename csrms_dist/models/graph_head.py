"""The graph head: smoothing, alignment and a linear classifier on what a context brings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from csrms_dist.models.alignment import align


@dataclass(frozen=True)
class GraphContext:
    """The nodes that enter the graph head beside the image's own feature.

    neighbours (B, n, D); mask (B, n) bool; prototypes: None, or the cluster's and the class's, each (B, D).
    """

    neighbours: Tensor
    mask: Tensor
    prototypes: tuple[Tensor, Tensor] | None = None


class GraphHead(nn.Module):
    """F_g (eq. 9-10) -> F_u (eq. 11) -> F_a (eq. 12) -> logits. forward: (B, D), context -> (B, K) logits, (B, D) F_a.

    smoothing: one of models/smoothing, made for this dimension.
    """

    def __init__(self, smoothing: nn.Module, dimension: int, n_classes: int) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.classifier = nn.Linear(dimension, n_classes)

    def forward(self, features: Tensor, context: GraphContext) -> tuple[Tensor, Tensor]:
        nodes = torch.cat([features[:, None], context.neighbours], dim=1)
        smoothed: Tensor = self.smoothing(nodes, context.mask)
        if context.prototypes is not None:
            for prototype in context.prototypes:
                smoothed = align(smoothed, prototype)
        return self.classifier(smoothed), smoothed
