"""Spherical ART for the two levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from csrms_dist.art.spherical import algorithm as spherical_art
from csrms_dist.art.spherical import int8_products
from csrms_dist.art.spherical.algorithm import Categories
from csrms_dist.art.two_level.learner import Assigned
from csrms_dist.basics.arrays import I64, Bools, Matrix


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
class Directions:
    """Finite rows -> int8 directions, each by itself: rint(127 x / |x|)."""

    dtype = np.int8

    def width(self, dimension: int) -> int:
        return dimension

    def transform_block(self, block: Matrix) -> Matrix:
        return block if block.dtype == np.int8 else spherical_art.quantise(block.astype(np.float64))
