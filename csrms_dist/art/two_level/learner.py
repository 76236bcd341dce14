"""The port of an algorithm to the two levels: learn a shard, merge, freeze, assign, re-centre.

A learner is a frozen set of parameters, so that it travels to any process. Rows and prototypes are plain arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from csrms_dist.art.scaling import Transform
from csrms_dist.basics.arrays import F32, I32, I64, Bools, Matrix


class Assigned(NamedTuple):
    """winner: (n,) int32, -1 for none. score: (n,) float32. passes: (n,) bool, the winner reaches the vigilance."""

    winner: I32
    score: F32
    passes: Bools


class Learner(Protocol):
    """An algorithm for the driver. Assumes nothing about who calls it, in which order, or how often."""

    @property
    def covers(self) -> bool:
        """Whether a prototype that has not moved takes each of its rows at the vigilance.

        Then every row that no prototype takes must be learnt, and no pattern is too small; else the first ones in hash
        order will do.
        """
        ...

    def transform(self, kind: np.dtype[Any]) -> Transform:
        """How rows of this type that need no scaling become rows of the learner's type."""
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
