"""The feature bank: one detached feature for every training row, one epoch old.

Epoch e reads generation e - 1 and writes generation e while the images pass, so what an anchor sees does not depend on
the order of the batches within an epoch.
"""

from __future__ import annotations

import torch
from torch import Tensor


class FeatureBank:
    """features: (N, D) float32, generation 0 (the feature table that was clustered)."""

    def __init__(self, features: Tensor) -> None:
        self.generation = 0
        self.current = features.clone()
        self._next = features.clone()

    def write(self, rows: Tensor, features: Tensor) -> None:
        """Put the (B, D) features of (B,) rows into the next generation."""
        self._next[rows] = features.detach()

    def turn(self) -> None:
        """End of an epoch: what was written becomes what is read."""
        self.current.copy_(self._next)
        self.generation += 1

    def state_dict(self) -> dict[str, Tensor | int]:
        """At the end of an epoch both generations are equal, so one is kept."""
        return {"features": self.current, "generation": self.generation}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        self.current.copy_(torch.as_tensor(state["features"]))
        self._next.copy_(self.current)
        self.generation = int(state["generation"])
