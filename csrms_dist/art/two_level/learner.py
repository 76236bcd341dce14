"""What the two-level driver asks of an algorithm: learn a shard, merge, freeze, assign, re-centre.

A learner is a frozen set of parameters, so that it travels to any process. Rows and prototypes are plain arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from csrms_dist.basics.arrays import F32, I32, I64, Bools, Matrix


class Assigned(NamedTuple):
    """winner: (n,) int32, -1 for none. score: (n,) float32. passes: (n,) bool, the winner reaches the vigilance."""

    winner: I32
    score: F32
    passes: Bools


class Learner(Protocol):
    """An algorithm for the driver. Assumes nothing about who calls it, in which order, or how often."""

    @property
    def learns_all_residual(self) -> bool:
        """Whether every row that no prototype takes must be learnt, or the first ones in hash order will do."""
        ...

    def learn(self, rows: Matrix, vigilance: float) -> Any:
        """The categories of one shard; rows in hash order, may be memory-mapped."""
        ...

    def merge(self, parts: Sequence[Any], vigilance: float) -> Any:
        """The categories of several shards as one; the order of `parts` does not matter."""
        ...

    def size(self, categories: Any) -> int: ...

    def frozen(self, categories: Any) -> Matrix:
        """Prototypes (J, width)."""
        ...

    def residual(self, rows: Matrix, vigilance: float) -> Matrix:
        """Prototypes of the rows that none takes so far."""
        ...

    def is_residual(self, found: Assigned) -> Bools: ...

    def assign(self, rows: Matrix, prototypes: Matrix, vigilance: float, *, moved: bool) -> Assigned:
        """Each row's prototype. moved: prototypes were re-centred, every row takes the nearest."""
        ...

    def integers(self, rows: Matrix) -> Matrix:
        """The rows as whole numbers, whose sums are exact in whatever order they are added."""
        ...

    def centres(self, prototypes: Matrix, sums: I64, sizes: I64) -> Matrix:
        """Prototypes moved to the mean of their rows, (J, D) sums of `integers`, (J,) sizes; one without rows stays."""
        ...
