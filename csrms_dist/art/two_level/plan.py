"""A clustering on two levels: what decides it, its phases, and its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from csrms_dist.art.two_level.learner import Learner
from csrms_dist.basics.arrays import F32, I32, Bools, Matrix

PHASES = ("prepare", "vigilance", "learn", "merge", "assign", "recentre", "finish")


EVERY_ROW = -1.0  # the vigilance of k-means: no cosine is below it


@dataclass(frozen=True)
class TwoLevel:
    """What decides a clustering beside its rows.

    vigilance: None has it searched for so that there are about n_patterns. kmeans: '' for ART; 'art' or 'random' for
    n_patterns directions by k-means over the learnt rows, from ART's categories or from rows drawn by hash. shards: V.
    learn_rows: R, the rows learnt in all. recentre: how many times prototypes move to the mean of their rows. min_size:
    smaller ones are dissolved.
    """

    learner: Learner
    vigilance: float | None
    n_patterns: int
    kmeans: str = ""
    shards: int = 4
    learn_rows: int = 20_000
    recentre: int = 0
    min_size: int = 1


class Found(NamedTuple):
    """J prototypes, numbered by (size descending, prototype), and what became of the N rows.

    pattern: (N,) int32, -1 for a row without direction. score: (N,) float32. passes: (N,) bool, reaches the vigilance.
    tried: (vigilance, patterns) of each step of the search.
    """

    prototypes: Matrix
    pattern: I32
    score: F32
    passes: Bools
    vigilance: float
    tried: tuple[tuple[float, int], ...]
