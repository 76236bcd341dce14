"""The star: the anchor is linked to its neighbours, and they to it alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from csrms_dist.models.smoothing.links import Normalisation


@dataclass(frozen=True, init=False)
class Star:
    """Links of a star. mask: (B, n) bool, which neighbours exist. Without any, the anchor is alone with its self-loop,
    so smoothing it is a plain MLP."""

    mask: Tensor

    def __init__(self, own: Tensor, others: Tensor, mask: Tensor) -> None:
        object.__setattr__(self, "mask", mask)

    def weighted(self, normalisation: Normalisation, *, self_loops: bool = True) -> StarEdges:
        there = self.mask.to(torch.float32)
        loop = float(self_loops)
        anchor = (loop + there.sum(dim=1, keepdim=True)).clamp(min=1)
        leaf = (loop + there).clamp(min=1)
        return StarEdges(
            loop * normalisation(anchor, anchor),
            there * normalisation(anchor, leaf),
            loop * normalisation(leaf, leaf),
            there * normalisation(leaf, anchor),
        )

    def with_leaf(self, there: Tensor) -> Star:
        return Star(there, there, torch.cat([self.mask, there[:, None]], dim=1))


@dataclass(frozen=True)
class StarEdges:
    """The adjacency of a star by its four kinds of entries, so that no (1 + n, 1 + n) is made.

    own_own (B, 1): the anchor's self-loop. own_other (B, n): from neighbours to the anchor. other_other (B, n): their
    self-loops. other_own (B, n): from the anchor to them.
    """

    own_own: Tensor
    own_other: Tensor
    other_other: Tensor
    other_own: Tensor

    def spread(self, own: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        from_own = self.other_own[:, :, None] * own[:, None]
        return self.gather(own, others), torch.addcmul(from_own, self.other_other[:, :, None], others)

    def gather(self, own: Tensor, others: Tensor) -> Tensor:
        return torch.addcmul((self.own_other[:, None] @ others).squeeze(1), self.own_own, own)
