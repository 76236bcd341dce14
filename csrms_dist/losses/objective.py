"""The objective: the weighted sum of a method's loss terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from csrms_dist.errors import ConfigError


@dataclass(frozen=True)
class Objective:
    """weights: term name -> weight, not all 0. A method makes no term whose weight is 0."""

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        if not any(weight > 0 for weight in self.weights.values()):
            raise ConfigError(
                "weights of the loss terms",
                got=", ".join(f"{term} {weight}" for term, weight in sorted(self.weights.items())),
                expected="at least one above 0",
            )

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum, terms in name order (so that its rounding does not depend on the caller)."""
        parts = [self.weights[name] * terms[name] for name in sorted(terms)]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total
