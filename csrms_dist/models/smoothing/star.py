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
    """The GCN on the star beside the anchor's own node. forward: nodes (B, 1 + n, D), mask (B, n) -> (B, D).

    Nodes are scaled to norm sqrt(D): without it a fresh head on the long features of a trained encoder has a curvature
    that the encoder's learning rate cannot take, and training may diverge. The anchor's node is added to what the
    convolution finds (Kipf and Welling, 2017, appendix B), for a mean of neighbours hardly varies between images, so
    that a layer on top learns nothing in the time in which the plain head does. No gradient goes through that node: the
    encoder has this one of the plain head already, and twice of it some trainings do not survive.
    """

    def forward(self, nodes: Tensor, mask: Tensor) -> Tensor:
        scaled = normalize(nodes, dim=2) * math.sqrt(nodes.shape[2])
        return scaled[:, 0].detach() + self.convolve(scaled, star_adjacency(mask))
