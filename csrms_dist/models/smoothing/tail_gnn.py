"""Tail-GNN (Liu, Nguyen and Fang, KDD 2021): anchors with few neighbours get the one that they miss."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from csrms_dist.models.smoothing.form import Form
from csrms_dist.models.smoothing.normalisation import row
from csrms_dist.models.smoothing.smoother import Smoother, hidden_layer

SLOPE = 0.2


class MissingNeighbour(nn.Module):
    """m = h + r_h - h_N: what an anchor's neighbourhood lacks of the one that it ought to have.

    The translation from a node to its neighbourhood is one vector r for all, made the anchor's own by
    r_h = (1 + gamma) r + beta, gamma = LeakyReLU(h W_1 + h_N W_2), beta likewise. forward: h (B, D), the mean of its
    neighbours h_N (B, D), zero where there are none -> m (B, D).
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.scale = nn.Linear(2 * dimension, dimension, bias=False)
        self.shift = nn.Linear(2 * dimension, dimension, bias=False)
        bound = 1 / math.sqrt(dimension)
        self.translation = nn.Parameter(torch.empty(dimension).uniform_(-bound, bound))

    def forward(self, own: Tensor, around: Tensor) -> Tensor:
        both = torch.cat([own, around], dim=1)
        scale = 1 + leaky_relu(self.scale(both), SLOPE)
        return own + scale * self.translation + leaky_relu(self.shift(both), SLOPE) - around


class TailGNN(Smoother):
    """The GCN (eq. 10) on a graph to which each tail anchor's missing neighbour is added, in both layers.

    Tail is an anchor with fewer than n / 2 neighbours; with as many or more this is the GCN. What Tail-GNN adds to the
    loss (a discriminator between heads and tails, and that heads miss nothing) is not there.
    """

    def __init__(self, dimension: int, form: Form | None = None) -> None:
        super().__init__(dimension, form)
        self.inner, self.outer = nn.Linear(dimension, dimension), nn.Linear(dimension, dimension)
        self.missing, self.missing_hidden = MissingNeighbour(dimension), MissingNeighbour(dimension)

    def smooth(self, own: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        tail = 2 * mask.sum(dim=1) < mask.shape[1]
        links = self.links(own, others, mask)
        around = links.weighted(row, self_loops=False)
        edges = links.with_leaf(tail).weighted(self.normalisation)
        missing = self.missing(own, around.gather(own, others))
        hidden, hidden_others = hidden_layer(self.inner, edges, own, torch.cat([others, missing[:, None]], dim=1))
        real = hidden_others[:, :-1]
        missing = self.missing_hidden(hidden, around.gather(hidden, real))
        smoothed: Tensor = self.outer(edges.gather(hidden, torch.cat([real, missing[:, None]], dim=1)))
        return smoothed
