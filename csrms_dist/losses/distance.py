"""Distances between representations, sums over classes, and the running scale that makes distances comparable."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-12


def euclidean(a: Tensor, b: Tensor) -> Tensor:
    """||a - b||_2 over the last dimension; its gradient at distance 0 is 0, not NaN."""
    return ((a - b).square().sum(dim=-1) + EPSILON).sqrt()


def class_sums(features: Tensor, membership: Tensor) -> Tensor:
    """(B, D) features, (B, K) membership -> (K, D + 1): the sum of each class and, last, its count (CSRMS eq. 15)."""
    weight = membership.to(features.dtype)
    return torch.cat([weight.T @ features, weight.sum(dim=0)[:, None]], dim=1)


class RunningScale:
    """Exponential running mean of a distance, detached: the s of d / s.

    With it a term cannot be lowered by scaling every feature up.
    """

    def __init__(self, momentum: float = 0.9) -> None:
        self.momentum = momentum
        self.value = torch.zeros(())
        self.seen = torch.tensor(False)

    def update(self, total: Tensor, count: Tensor) -> Tensor:
        """Take in the sum and the number of a global batch's distances; returns s > 0. Nothing waits for the device."""
        self.value, self.seen = self.value.to(total.device), self.seen.to(total.device)
        some = count > 0
        mean = (total / count.clamp(min=1)).detach()
        blended = self.momentum * self.value + (1 - self.momentum) * mean
        self.value = torch.where(some, torch.where(self.seen, blended, mean), self.value)
        self.seen = self.seen | some
        return self.value.clamp(min=1e-6)

    def state_dict(self) -> dict[str, Tensor | bool]:
        return {"value": self.value, "seen": bool(self.seen)}

    def load_state_dict(self, state: dict[str, Tensor | bool]) -> None:
        self.value, self.seen = torch.as_tensor(state["value"]), torch.tensor(bool(state["seen"]))
