"""The base of our smoothers, what one of a user's own must be, and how either is made."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from csrms_dist.basics.lookup import Kind, chosen, resolve, takes
from csrms_dist.models.smoothing import ADJACENCIES, NORMALISATIONS, SMOOTHERS
from csrms_dist.models.smoothing.form import Form
from csrms_dist.models.smoothing.links import Adjacency, Edges, Normalisation


class Smoother(nn.Module):
    """A smoother on the edges of a form. forward: nodes (B, 1 + n, D), mask (B, n) bool -> (B, D).

    adds_own: whether a framed head adds the anchor's node to the result; not where the result is that node.
    """

    adds_own: ClassVar[bool] = True

    def __init__(self, dimension: int, form: Form | None = None) -> None:
        super().__init__()
        self.dimension, self.form = dimension, form or Form()
        self.links: Adjacency = resolve(ADJACENCIES[self.form.adjacency])
        self.normalisation: Normalisation = resolve(NORMALISATIONS[self.form.normalisation])

    def forward(self, nodes: Tensor, mask: Tensor) -> Tensor:
        return self.smooth(nodes[:, 0], nodes[:, 1:], mask)

    def smooth(self, own: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        """The same, of the anchors (B, D) and their neighbours (B, n, D) apart."""
        raise NotImplementedError

    def edges(self, own: Tensor, others: Tensor, mask: Tensor) -> Edges:
        """The weighted edges between the nodes, self-loops among them."""
        return self.links(own, others, mask).weighted(self.normalisation)


def hidden_layer(layer: nn.Linear, edges: Edges, own: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """ReLU(A X W + b) of anchors (B, D) and others (B, n, D).

    (A X) W = A (X W), and each has its time. Where the anchors have a gradient, X W lets the neighbours, which have
    none, stay apart: of the gradient by the input, a third of the work, only that of the anchors is made. Where nothing
    has one, A X costs nothing on the way back.
    """
    if own.requires_grad:
        own, others = edges.spread(own @ layer.weight.T, others @ layer.weight.T)
        return torch.relu(own + layer.bias), torch.relu(others + layer.bias)
    own, others = edges.spread(own, others)
    return torch.relu(layer(own)), torch.relu(layer(others))


KIND = Kind(
    "a torch.nn.Module of {} that is made with the dimension alone",
    lambda value: isinstance(value, type) and issubclass(value, nn.Module) and takes(value, 1),
)
"""A smoother of a user's own."""


def make_smoother(name: str, dimension: int, form: Form) -> nn.Module:
    """A smoother by its name in SMOOTHERS, in this form, or a user's own 'module:name', which knows no form."""
    kind: type[nn.Module] = chosen(SMOOTHERS, name, "method.smoother", fits=KIND.fits, expected=KIND.said)
    return kind(dimension, form) if name in SMOOTHERS else kind(dimension)
