"""Who places int8 rows among frozen int8 prototypes: the processor, or whatever else gives the same bytes."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from csrms_dist.basics.arrays import F32, I8, I32


class Placed(NamedTuple):
    """winner: (N,) int32. score: (N,) float32. state: (N,) int8, as `spherical.int8_products` numbers them."""

    winner: I32
    score: F32
    state: I8


class Placing(Protocol):
    """Places rows to the bytes of `spherical.int8_products.placed`. Assumes that any process may be given it."""

    @property
    def at_once(self) -> int:
        """How many rows are best given in one call."""
        ...

    def __call__(self, q: I8, p: I8, vigilance: float) -> Placed:
        """Rows q (N, D), possibly memory-mapped, among prototypes p (J, D), J >= 1.

        Raises DataError for arrays of another type or shape.
        """
        ...
