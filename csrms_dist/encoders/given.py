"""Stands for an encoder whose features lie in a table."""

from __future__ import annotations

from torch import Tensor

from csrms_dist.encoders.encoder import Encoder


class GivenFeatures(Encoder):
    """Stands for a frozen encoder whose features lie in a table: (B, D) -> the same (B, D)."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension

    def forward(self, features: Tensor) -> Tensor:
        return features
