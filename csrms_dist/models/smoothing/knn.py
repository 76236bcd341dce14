"""Smoothing on a symmetric kNN graph, as CSRMS prints it (eq. 9-10)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from csrms_dist.models.smoothing.gcn import GCN

NEAREST = 5


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


class NearestGCN(GCN):
    """The GCN on the 5-NN graph of raw features, with the softmax of eq. 10.

    forward: nodes (B, 1 + n, D), mask (B, n) -> (B, D).
    """

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension, softmax=True)

    def forward(self, nodes: Tensor, mask: Tensor) -> Tensor:
        return self.convolve(nodes, knn_adjacency(nodes, mask, NEAREST))
