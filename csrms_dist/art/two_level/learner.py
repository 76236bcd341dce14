"""What the two-level driver asks of an algorithm: learn a shard, merge, freeze, assign, re-centre.

A learner is a frozen set of parameters, so that it travels to any process. Rows and prototypes are plain arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from csrms_dist.art.fuzzy import adaptive_vigilance
from csrms_dist.art.fuzzy import algorithm as fuzzy_art
from csrms_dist.art.fuzzy.algorithm import Boxes
from csrms_dist.art.spherical import algorithm as spherical_art
from csrms_dist.art.spherical import int8_products
from csrms_dist.art.spherical.algorithm import Categories
from csrms_dist.basics.arrays import F32, I32, I64, Bools, Matrix

#: Fuzzy ART's own tightening (lambda_s, lambda_m): its boxes merge only if the shards and the merge leave room for it.
FUZZY_SHARD_TIGHTENING = 0.35
FUZZY_MERGE_TIGHTENING = 0.1
_GRID = 2.0**20  # float rows are summed in whole multiples of its inverse
_LEARN = 8192  # rows whose complement codes are in memory at once

#: Slack of the vigilance test against float32 boxes, whose sums are rounded; uint8 boxes need none.
FLOAT_TOLERANCE = 1e-5


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


@dataclass(frozen=True)
class SphericalLearner:
    """Spherical ART over int8 rows; prototypes are int8 directions (J, D)."""

    shard_tightening: float = 0.2
    learns_all_residual: bool = False

    def learn(self, rows: Matrix, vigilance: float) -> Categories:
        return spherical_art.learn(rows, vigilance + self.shard_tightening * (1 - vigilance))

    def merge(self, parts: Sequence[Categories], vigilance: float) -> Categories:
        return spherical_art.merge(parts, vigilance)

    def size(self, categories: Categories) -> int:
        return len(categories.counts)

    def frozen(self, categories: Categories) -> Matrix:
        return spherical_art.freeze(categories.sums)

    def residual(self, rows: Matrix, vigilance: float) -> Matrix:
        return spherical_art.freeze(spherical_art.learn(rows, vigilance).sums)

    def is_residual(self, found: Assigned) -> Bools:
        return (found.winner >= 0) & ~found.passes  # a row of zeros has no direction and never will

    def assign(self, rows: Matrix, prototypes: Matrix, vigilance: float, *, moved: bool) -> Assigned:
        winner, score, state = int8_products.placed(rows, prototypes, vigilance)
        winner[state == int8_products.NO_DIRECTION] = -1
        passes = state == int8_products.REACHES
        if not prototypes.any():  # of rows without direction alone: it resembles nothing, whatever the vigilance
            passes[:] = False
        return Assigned(winner, score, passes)

    def integers(self, rows: Matrix) -> Matrix:
        return rows

    def centres(self, prototypes: Matrix, sums: I64, sizes: I64) -> Matrix:
        if not len(prototypes):
            return prototypes
        moved: Matrix = np.where(sums.any(axis=1, keepdims=True), spherical_art.freeze(sums), prototypes)
        return moved


@dataclass(frozen=True)
class FuzzyLearner:
    """Fuzzy ART over uint8 or float32 rows in [0, 1]; prototypes are complement-coded boxes (J, 2D) of the same type.

    kind: '' or the adaptation of the vigilance while shards learn ('am', 'cm', 'hi'); the merge and the assignment
    use the common vigilance, so that every row is covered at it.
    """

    choice: float = 0.01
    learning_rate: float = 0.5
    kind: str = ""
    sigma: float | str = "auto"
    delta: float = 1e-3
    learns_all_residual: bool = True

    def learn(self, rows: Matrix, vigilance: float) -> Boxes:
        rho = vigilance + FUZZY_SHARD_TIGHTENING * (1 - vigilance)
        if self.kind:
            return adaptive_vigilance.learn(
                fuzzy_art.complement_code(rows), rho, kind=self.kind, choice=self.choice,
                learning_rate=self.learning_rate, sigma=self.sigma, delta=self.delta,
            )[0]  # fmt: skip
        return self._learn(rows, rho, self.learning_rate)

    def _learn(self, rows: Matrix, vigilance: float, learning_rate: float) -> Boxes:
        boxes: Boxes | None = None
        for start in range(0, max(len(rows), 1), _LEARN):
            codes = fuzzy_art.complement_code(np.asarray(rows[start : start + _LEARN]))
            boxes = fuzzy_art.learn(codes, vigilance, choice=self.choice, learning_rate=learning_rate, known=boxes)[0]
        if boxes is None:
            raise ValueError("a range from 0 has a first step")
        return boxes

    def merge(self, parts: Sequence[Boxes], vigilance: float) -> Boxes:
        rho = vigilance + FUZZY_MERGE_TIGHTENING * (1 - vigilance)
        return fuzzy_art.merge(parts, rho, choice=self.choice)

    def size(self, categories: Boxes) -> int:
        return len(categories.counts)

    def frozen(self, categories: Boxes) -> Matrix:
        return categories.weights

    def residual(self, rows: Matrix, vigilance: float) -> Matrix:
        """Boxes over all of them, learnt at rate 1 and merged like the shards': each covers its rows."""
        return self.merge([self._learn(rows, vigilance, 1.0)], vigilance).weights

    def is_residual(self, found: Assigned) -> Bools:
        return ~found.passes

    def assign(self, rows: Matrix, prototypes: Matrix, vigilance: float, *, moved: bool) -> Assigned:
        rho = vigilance if rows.dtype == np.uint8 else vigilance - FLOAT_TOLERANCE
        winner, score = fuzzy_art.assign_points(rows, prototypes, rho, choice=self.choice)
        passes = winner >= 0
        missed = np.flatnonzero(~passes)
        if moved and len(missed):
            winner[missed], score[missed] = fuzzy_art.assign_points(rows[missed], prototypes, 0.0, choice=self.choice)
        return Assigned(winner, score, passes)

    def integers(self, rows: Matrix) -> Matrix:
        return rows if rows.dtype == np.uint8 else np.rint(rows.astype(np.float64) * _GRID).astype(np.int64)

    def centres(self, prototypes: Matrix, sums: I64, sizes: I64) -> Matrix:
        """A mean is a box without extent, so the box of largest choice value is the mean nearest in L1."""
        held = sizes > 0
        means = sums / np.maximum(sizes, 1)[:, None]
        points = np.rint(means) if prototypes.dtype == np.uint8 else means / _GRID
        moved: Matrix = fuzzy_art.complement_code(points.astype(prototypes.dtype))
        moved[~held] = prototypes[~held]
        return moved
