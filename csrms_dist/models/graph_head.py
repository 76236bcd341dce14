"""The graph head: smoothing, alignment and a linear classifier on what a context brings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from csrms_dist.models.alignment import align
from csrms_dist.models.smoothing.gcn import GCN, knn_adjacency, star_adjacency

NEAREST = 5


@dataclass(frozen=True)
class GraphContext:
    """What enters the graph head beside the image's own feature.

    neighbours (B, n, D); mask (B, n) bool; prototypes: None, or the cluster's and the class's, each (B, D).
    """

    neighbours: Tensor
    mask: Tensor
    prototypes: tuple[Tensor, Tensor] | None = None


class GraphHead(nn.Module):
    """F_g (eq. 9-10) -> F_u (eq. 11) -> F_a (eq. 12) -> logits. forward: (B, D), context -> (B, K) logits, (B, D) F_a.

    `as_printed` takes the symmetric kNN adjacency and the softmax of eq. 10 on raw features; otherwise the
    row-stochastic star on nodes scaled to norm sqrt(D). Without that scale a fresh head on the long features of a
    trained encoder has a curvature that the encoder's learning rate cannot take, and training may diverge.
    """

    def __init__(self, dimension: int, n_classes: int, *, as_printed: bool = False) -> None:
        super().__init__()
        self.smoothing = GCN(dimension, softmax=as_printed)
        self.classifier = nn.Linear(dimension, n_classes)
        self.as_printed = as_printed

    def forward(self, features: Tensor, context: GraphContext) -> tuple[Tensor, Tensor]:
        nodes = torch.cat([features[:, None], context.neighbours], dim=1)
        if self.as_printed:
            smoothed = self.smoothing(nodes, knn_adjacency(nodes, context.mask, NEAREST))
        else:
            scaled = normalize(nodes, dim=2) * math.sqrt(nodes.shape[2])
            smoothed = self.smoothing(scaled, star_adjacency(context.mask))
        if context.prototypes is not None:
            for prototype in context.prototypes:
                smoothed = align(smoothed, prototype)
        return self.classifier(smoothed), smoothed
