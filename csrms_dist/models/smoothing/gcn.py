"""Graphical smoothing (CSRMS eq. 9-10): aggregate an anchor with its neighbours.

Every anchor has a small graph of its own: node 0 is the anchor, nodes 1..n its neighbours, absent ones masked.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


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


def knn_adjacency(nodes: Tensor, mask: Tensor, k: int) -> Tensor:
    """Symmetric kNN graph with self-loops, D^-1/2 (A + I) D^-1/2 (the A^ of eq. 10; Kipf and Welling, 2017).

    nodes (B, 1 + n, D), mask (B, n) -> (B, 1 + n, 1 + n). An edge joins two nodes when either is among the other's k
    nearest (Euclidean on L2-normalised features).
    """
    size = nodes.shape[1]
    there = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)
    unit = nn.functional.normalize(nodes.detach(), dim=2)
    similarity = unit @ unit.transpose(1, 2)
    self_loop = torch.eye(size, dtype=torch.bool, device=nodes.device)
    valid = there[:, None, :] & there[:, :, None] & ~self_loop
    similarity = similarity.masked_fill(~valid, -torch.inf)
    chosen = similarity.topk(min(k, size), dim=2).indices
    linked = torch.zeros_like(similarity, dtype=torch.bool).scatter(2, chosen, True) & valid
    adjacency = (linked | linked.transpose(1, 2) | self_loop).to(nodes.dtype)
    scale = adjacency.sum(dim=2).rsqrt()
    return scale[:, :, None] * adjacency * scale[:, None, :]


class GCN(nn.Module):
    """Two graph convolutions, d -> h -> d: A ReLU(A X W1) W0 (eq. 10; Kipf and Welling, 2017).

    `softmax` applies the softmax that eq. 10 prints, over the features; the default leaves it out, because a
    representation on the simplex loses its scale. forward: nodes (B, 1 + n, D), adjacency (B, 1 + n, 1 + n) -> (B, D),
    the anchor's row.
    """

    def __init__(self, dimension: int, hidden: int | None = None, *, softmax: bool = False) -> None:
        super().__init__()
        self.inner = nn.Linear(dimension, hidden or dimension)
        self.outer = nn.Linear(hidden or dimension, dimension)
        self.softmax = softmax

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        hidden = torch.relu(self.inner(adjacency @ nodes))
        smoothed: Tensor = self.outer((adjacency[:, :1] @ hidden).squeeze(1))
        return smoothed.softmax(dim=1) if self.softmax else smoothed
