"""The symmetric kNN graph of CSRMS (sec. 4.3.1, the A^ of eq. 10)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from csrms_dist.models.smoothing.links import DenseLinks

NEAREST = 5
"""k; the paper gives none."""


def nearest_links(own: Tensor, others: Tensor, mask: Tensor, k: int = NEAREST) -> DenseLinks:
    """An edge joins two nodes when either is among the other's k nearest (Euclidean on L2-normalised features).

    own (B, D), others (B, n, D), mask (B, n).
    """
    nodes = torch.cat([own[:, None], others], dim=1)
    size = nodes.shape[1]
    there = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1) if size > 1 else mask.new_ones(len(mask), 1)
    unit = nn.functional.normalize(nodes.detach(), dim=2)
    similarity = unit @ unit.transpose(1, 2)
    self_loop = torch.eye(size, dtype=torch.bool, device=nodes.device)
    valid = there[:, None, :] & there[:, :, None] & ~self_loop
    similarity = similarity.masked_fill(~valid, -torch.inf)
    chosen = similarity.topk(min(k, size), dim=2).indices
    linked = torch.zeros_like(similarity, dtype=torch.bool).scatter(2, chosen, True) & valid
    return DenseLinks(linked | linked.transpose(1, 2))
