"""Encoder passes: the currency in which methods are compared.

An image that goes forward and backward costs one pass, one that only goes forward a third.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Passes:
    """Images that went through the encoder, with and without a backward pass."""

    backward: int = 0
    forward: int = 0

    def __add__(self, other: Passes) -> Passes:
        return Passes(self.backward + other.backward, self.forward + other.forward)

    @property
    def total(self) -> float:
        """In full passes."""
        return self.backward + self.forward / 3


def control_images(method: Passes, stage_0: Passes) -> int:
    """How many images the control trains on so that its passes, stage 0 included, equal the method's."""
    return round(method.total - stage_0.total)
