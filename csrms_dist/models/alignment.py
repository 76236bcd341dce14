"""Cluster- and class-level alignment (CSRMS eq. 11-12): move a representation towards a prototype."""

from __future__ import annotations

from torch import Tensor


def align(features: Tensor, prototypes: Tensor, share: float = 0.5) -> Tensor:
    """share * F + (1 - share) * w, both (B, D): eq. 11 with the cluster's, eq. 12 with the class's prototype."""
    return share * features + (1 - share) * prototypes
