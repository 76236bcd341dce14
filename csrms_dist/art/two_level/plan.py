"""A clustering on two levels: what decides it, its phases, and its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from csrms_dist.art.scaling import BLOCK, Transform
from csrms_dist.art.two_level.grain import Grain
from csrms_dist.art.two_level.learner import Learner
from csrms_dist.basics.arrays import F32, I32, Bools, Matrix

S = TypeVar("S", bound=Transform)

PHASES = ("prepare", "vigilance", "learn", "merge", "assign", "recentre", "finish")
MISSED = 0.1  # share by which the number of patterns may differ from the one asked for
EVERY_ROW = -1.0  # the vigilance of k-means: no cosine is below it


@dataclass(frozen=True)
class TwoLevel:
    """The plan: all that decides a clustering beside its rows.

    learner: the algorithm.
    vigilance: rho; None has it searched for so that there are about n_patterns.
    n_patterns: how many patterns to aim at; how many directions, where k-means makes them.
    asked: n_patterns was asked for: where no vigilance gives about as many, k-means makes them, unless boxes cover
        their rows.
    at_once: how many rows the learner places in one call; it decides nothing.
    grain: where the vigilance is searched for, the fewest patterns of a grain of the rows that goes before n_patterns;
        0 looks for none.
    kmeans: '' for ART; 'art' or 'random' for n_patterns directions by k-means over the learnt rows, from ART's
        categories or from rows drawn by hash.
    shards: V, the virtual shards.
    learn_rows: R, the rows learnt in all.
    recentre: how many times prototypes move to the mean of their rows.
    min_size: smaller patterns are dissolved.
    """

    learner: Learner
    vigilance: float | None
    n_patterns: int
    kmeans: str = ""
    shards: int = 4
    learn_rows: int = 20_000
    recentre: int = 0
    min_size: int = 1
    grain: int = 0
    asked: bool = False
    at_once: int = field(default=BLOCK, repr=False, compare=False)

    def misses(self, patterns: int) -> bool:
        """Whether so many patterns are too far from n_patterns."""
        return abs(patterns - self.n_patterns) > MISSED * self.n_patterns

    @property
    def moves(self) -> bool:
        """Whether prototypes move to the mean of their rows, so that every row takes the nearest."""
        return self.recentre > 0 or bool(self.kmeans)


class Found(NamedTuple, Generic[S]):
    """J prototypes, numbered by (size descending, prototype), and what became of the N rows.

    prototypes: (J, width).
    pattern: (N,) int32, -1 for a row without direction.
    score: (N,) float32.
    passes: (N,) bool, reaches the vigilance.
    vigilance: the value used.
    tried: (vigilance, patterns) of each step of the search for it.
    grain: what it comes from, None where the rows have no grain or it was not looked for.
    transform: what the rows went through.
    zero_rows: how many of them have no direction.
    moved: whether prototypes moved to the mean of their rows.
    cut: whether k-means made their number, which no vigilance gave.
    """

    prototypes: Matrix
    pattern: I32
    score: F32
    passes: Bools
    vigilance: float
    tried: tuple[tuple[float, int], ...]
    grain: Grain | None
    transform: S
    zero_rows: int
    moved: bool
    cut: bool

    @property
    def labels(self) -> I32:
        """The pattern of each row, (N,) int32; pattern 0 for a row without direction."""
        return np.maximum(self.pattern, 0)

    @property
    def below(self) -> Bools:
        """Rows below the vigilance, (N,) bool. One without direction resembles nothing: every vigilance but 0 is above.

        A box covers its rows, so that where boxes do not move there are none.
        """
        return np.where(self.pattern >= 0, ~self.passes, self.vigilance > 0)
