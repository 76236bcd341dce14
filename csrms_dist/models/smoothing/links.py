"""Who is linked to whom in the graphs of a batch of anchors, and what passes along the edges.

Assumptions: links go both ways; absent neighbours have none. Node 0, the anchor, is kept apart from the n others: of
the result only its row is wanted, and where the others are linked to it alone no (1 + n, 1 + n) is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

Normalisation: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(degree of the row, degree of the column) -> weight of the edge."""


class Edges(Protocol):
    """A weighted adjacency A (1 + n, 1 + n) of each anchor."""

    def spread(self, own: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """A H for H = (own (B, H), others (B, n, H)), in the same two parts. Rows of absent nodes mean nothing."""
        ...

    def gather(self, own: Tensor, others: Tensor) -> Tensor:
        """The anchor's row of A H: (B, H)."""
        ...


class Links(Protocol):
    """Who is linked to whom, self-loops apart."""

    def weighted(self, normalisation: Normalisation, *, self_loops: bool = True) -> Edges:
        """The edges with their weights. Without self-loops a node with no link gets zeros."""
        ...

    def with_leaf(self, there: Tensor) -> Links:
        """One more node, the last, linked to the anchor alone where `there` (B,) bool says so."""
        ...


Adjacency: TypeAlias = Callable[[Tensor, Tensor, Tensor], Links]


@dataclass(frozen=True)
class DenseLinks:
    """linked: (B, 1 + n, 1 + n) bool, symmetric, nothing on the diagonal."""

    linked: Tensor

    def weighted(self, normalisation: Normalisation, *, self_loops: bool = True) -> DenseEdges:
        adjacency = self.linked.to(torch.float32)
        if self_loops:
            adjacency = adjacency + torch.eye(adjacency.shape[1], device=adjacency.device)
        degree = adjacency.sum(dim=2).clamp(min=1)
        return DenseEdges(adjacency * normalisation(degree[:, :, None], degree[:, None, :]))

    def with_leaf(self, there: Tensor) -> DenseLinks:
        larger = torch.nn.functional.pad(self.linked, (0, 1, 0, 1))
        larger[:, 0, -1] = larger[:, -1, 0] = there
        return DenseLinks(larger)


@dataclass(frozen=True)
class DenseEdges:
    """adjacency: (B, 1 + n, 1 + n)."""

    adjacency: Tensor

    def spread(self, own: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        mixed = self.adjacency @ torch.cat([own[:, None], others], dim=1)
        return mixed[:, 0], mixed[:, 1:]

    def gather(self, own: Tensor, others: Tensor) -> Tensor:
        return (self.adjacency[:, :1] @ torch.cat([own[:, None], others], dim=1)).squeeze(1)
