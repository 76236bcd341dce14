"""The graph convolution (CSRMS eq. 10; Kipf and Welling, 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from csrms_dist.basics.lookup import Kind, takes


class GCN(nn.Module):
    """Two graph convolutions, d -> h -> d: A ReLU(A X W1) W0 (eq. 10).

    `softmax` applies the softmax that eq. 10 prints, over the features; the default leaves it out, because a
    representation on the simplex loses its scale. A subclass makes the adjacency A.
    """

    def __init__(self, dimension: int, hidden: int | None = None, *, softmax: bool = False) -> None:
        super().__init__()
        self.inner = nn.Linear(dimension, hidden or dimension)
        self.outer = nn.Linear(hidden or dimension, dimension)
        self.softmax = softmax

    def convolve(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        """Nodes (B, 1 + n, D), adjacency (B, 1 + n, 1 + n) -> (B, D), the anchor's row."""
        hidden = torch.relu(self.inner(adjacency @ nodes))
        smoothed: Tensor = self.outer((adjacency[:, :1] @ hidden).squeeze(1))
        return smoothed.softmax(dim=1) if self.softmax else smoothed


KIND = Kind(
    "a torch.nn.Module of {} that is made with the dimension alone",
    lambda value: isinstance(value, type) and issubclass(value, nn.Module) and takes(value, 1),
)
"""A smoother of a user's own."""
