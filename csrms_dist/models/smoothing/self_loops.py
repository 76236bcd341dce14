"""No edges: each node is linked to itself alone, so a graph convolution is an MLP of the same size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from csrms_dist.models.smoothing.links import DenseLinks, Normalisation


@dataclass(frozen=True, init=False)
class SelfLoops:
    """Links of no edge between the anchor and its neighbours, of which there are mask (B, n).

    The missing neighbour of Tail-GNN, which is made of the anchor alone, is linked as the port says.
    """

    mask: Tensor

    def __init__(self, own: Tensor, others: Tensor, mask: Tensor) -> None:
        object.__setattr__(self, "mask", mask)

    def weighted(self, normalisation: Normalisation, *, self_loops: bool = True) -> LoopEdges:
        one = torch.ones(1, device=self.mask.device)
        return LoopEdges(self_loops * normalisation(one, one))

    def with_leaf(self, there: Tensor) -> DenseLinks:
        n = self.mask.shape[1]
        linked = pad(there[:, None, None], (n + 1, 0, 0, n + 1))
        return DenseLinks(linked | linked.transpose(1, 2))


@dataclass(frozen=True)
class LoopEdges:
    """weight: (1,), of every self-loop."""

    weight: Tensor

    def spread(self, own: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        return own * self.weight, others * self.weight

    def gather(self, own: Tensor, others: Tensor) -> Tensor:
        return own * self.weight
