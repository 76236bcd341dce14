"""Fuzzy ART for the two levels, and how a run uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from csrms_dist.art.algorithm import Algorithm
from csrms_dist.art.fuzzy import adaptive_vigilance
from csrms_dist.art.fuzzy import algorithm as fuzzy_art
from csrms_dist.art.fuzzy.algorithm import Boxes
from csrms_dist.art.inputs import finite, in_unit_interval
from csrms_dist.art.scaling import MinMaxScaling, Transform
from csrms_dist.art.settings import ClusterSettings
from csrms_dist.art.two_level.learner import Assigned
from csrms_dist.art.two_level.prepare import Given
from csrms_dist.basics.arrays import F64, I64, Bools, Matrix

#: Fuzzy ART's own tightening (lambda_s, lambda_m): its boxes merge only if the shards and the merge leave room for it.
SHARD_TIGHTENING = 0.35
MERGE_TIGHTENING = 0.1
_GRID = 2.0**20  # float rows are summed in whole multiples of its inverse
_LEARN = 8192  # rows whose complement codes are in memory at once

#: Slack of the vigilance test against float32 boxes, whose sums are rounded; uint8 boxes need none.
FLOAT_TOLERANCE = 1e-5


@dataclass(frozen=True)
class UnitInterval:
    """Rows in [0, 1] as float32, or uint8 as they are. Raises DataError for values outside."""

    dtype: type[np.generic] = np.float32

    def width(self, dimension: int) -> int:
        return dimension

    def transform_block(self, block: Matrix) -> Matrix:
        if block.dtype == np.uint8:
            return block
        return in_unit_interval(block, "a row of X").astype(np.float32)


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
    covers = True

    def transform(self, kind: np.dtype[Any]) -> Transform:
        return UnitInterval(np.uint8 if kind == np.uint8 else np.float32)

    def learn(self, rows: Matrix, vigilance: float) -> Boxes:
        rho = vigilance + SHARD_TIGHTENING * (1 - vigilance)
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
        rho = vigilance + MERGE_TIGHTENING * (1 - vigilance)
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


class Fuzzy(Algorithm):
    """Fuzzy ART. Its boxes cover their rows, which moving them would give up."""

    scaling = MinMaxScaling

    def learner(self, settings: ClusterSettings) -> FuzzyLearner:
        return FuzzyLearner(settings.choice, settings.learning_rate, settings.adaptation.removeprefix("none"))

    def fit(self, settings: ClusterSettings, given: Given) -> MinMaxScaling:
        if settings.scaling == "min_max":
            return given.min_max()
        return MinMaxScaling.fit_quantiles(given.rows, given.learnt())

    def resemblance(self, rows: Matrix, queries: int) -> F64:
        """1 - the mean absolute difference, of numbers in [0, 1] or bytes."""
        whole = rows.dtype == np.uint8
        x = finite(rows if whole else in_unit_interval(rows)).astype(np.float64)
        x = x / 255 if whole else x
        return np.stack([1 - np.abs(row - x).mean(axis=1) for row in x[:queries]])
