"""Smoothing on a star: the anchor averages itself and its neighbours."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from csrms_dist.models.smoothing.gcn import GCN


def star_adjacency(mask: Tensor) -> Tensor:
    """Row-stochastic star with self-loops. mask (B, n) bool, which neighbours exist -> (B, 1 + n, 1 + n).

    The anchor averages itself and its neighbours, a neighbour averages itself and the anchor; without neighbours the
    anchor's row is the identity, so smoothing a lonely image is a plain MLP.
    """
    batch, n = mask.shape
    linked = torch.eye(1 + n, device=mask.device).expand(batch, -1, -1).clone()
    linked[:, 0, 1:] = mask.to(linked.dtype)
    linked[:, 1:, 0] = mask.to(linked.dtype)
    return linked / linked.sum(dim=2, keepdim=True)


class StarGCN(GCN):
    """The GCN on the star, its nodes scaled to norm sqrt(D). forward: nodes (B, 1 + n, D), mask (B, n) -> (B, D).

    Without that scale a fresh head on the long features of a trained encoder has a curvature that the encoder's
    learning rate cannot take, and training may diverge.
    """

    def forward(self, nodes: Tensor, mask: Tensor) -> Tensor:
        scaled = normalize(nodes, dim=2) * math.sqrt(nodes.shape[2])
        return self.convolve(scaled, star_adjacency(mask))
