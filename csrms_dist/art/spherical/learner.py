"""Spherical ART for the two levels, and how a run uses it, alone or to start k-means on the sphere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from csrms_dist.art.algorithm import Algorithm
from csrms_dist.art.inputs import finite
from csrms_dist.art.placing import Placing
from csrms_dist.art.scaling import SphericalScaling, Transform, blas
from csrms_dist.art.settings import ClusterSettings
from csrms_dist.art.spherical import algorithm as spherical_art
from csrms_dist.art.spherical import int8_products
from csrms_dist.art.spherical.algorithm import Categories
from csrms_dist.art.two_level.learner import Assigned, Learner
from csrms_dist.art.two_level.prepare import Given
from csrms_dist.basics.arrays import F64, I64, Bools, Matrix


@dataclass(frozen=True)
class Directions:
    """Finite rows -> int8 directions, each by itself: rint(127 x / |x|)."""

    dtype = np.int8

    def width(self, dimension: int) -> int:
        return dimension

    def transform_block(self, block: Matrix) -> Matrix:
        return spherical_art.as_int8(block)


@dataclass(frozen=True)
class SphericalLearner:
    """Spherical ART over int8 rows; prototypes are int8 directions (J, D). placing: this processor's by default."""

    shard_tightening: float = 0.2
    placing: Placing | None = field(default=None, repr=False, compare=False)  # no result depends on it
    covers = False

    def transform(self, kind: np.dtype[Any]) -> Transform:
        return Directions()

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
        winner, score, state = (self.placing or int8_products.placed)(rows, prototypes, vigilance)
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


class Spherical(Algorithm):
    """Spherical ART. Bare, it makes a few patterns very large, so they move to their rows by default."""

    scaling = SphericalScaling
    recentre = 4
    on_device = True

    def learner(self, settings: ClusterSettings) -> SphericalLearner:
        return SphericalLearner(settings.shard_tightening)

    def placed_by(self, learner: Learner, placing: Placing) -> Learner:
        return replace(learner, placing=placing) if isinstance(learner, SphericalLearner) else learner

    def fit(self, settings: ClusterSettings, given: Given) -> SphericalScaling:
        return SphericalScaling.fit(given.rows, given.learnt())

    def resemblance(self, rows: Matrix, queries: int) -> F64:
        """The cosine; 0 for rows of zeros."""
        x = finite(rows).astype(np.float64)
        norms = np.sqrt((x * x).sum(axis=1))
        norms[norms == 0] = 1
        with blas().limit(limits=1, user_api="blas"):
            cosines: F64 = (x[:queries] @ x.T) / norms[:queries, None] / norms
        return cosines


class KMeans(Spherical):
    """k-means on the sphere, with the arithmetic of spherical ART."""

    def kmeans(self, settings: ClusterSettings) -> str:
        return settings.kmeans_start
