"""Easy, medium or hard: CSRMS eq. 7."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from csrms_dist.basics.arrays import I8
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.hierarchy.pattern_counts import own_shares, top_shares

EASY, MEDIUM, HARD = 0, 1, 2
LEVEL_NAMES = ("easy", "medium", "hard")
LEAST_EASY = 0.05
"""With fewer easy rows than this share, the levels are the terciles of the own share."""


@dataclass(frozen=True)
class DifficultyLevels:
    """level: (N,) int8, EASY, MEDIUM or HARD. shares: of the levels, summing to 1. terciles: which rule was used."""

    level: I8
    shares: tuple[float, float, float]
    terciles: bool


def difficulty_levels(graph: HierarchyGraph, difficulty_threshold: float, rule: str = "shares") -> DifficultyLevels:
    """How difficult each row is; rho_1 = `difficulty_threshold`; rule: one of
    settings.DIFFICULTY_RULES.

    shares: CSRMS eq. 7 with >= and <. Easy: the best own share N_k^j / N_k >= rho_1. Hard: that of another class is.
    Medium: every share < rho_1. When fewer than 5 % are easy, terciles instead.
    terciles: of the own share; rows of equal share stay together, at their middle rank.
    released: of the released code: easy as in eq. 7, hard where the own share is at most 1 - rho_1.
    """
    own = own_shares(graph.pattern, graph.membership, graph.counts, graph.sizes)
    easy = own >= difficulty_threshold
    terciles = rule == "terciles" or (rule == "shares" and bool(easy.mean() < LEAST_EASY))
    if terciles:
        rank = 3 * (rankdata(own) - 0.5)
        easy, hard = rank >= 2 * len(own), rank < len(own)
    elif rule == "released":
        hard = ~easy & (own <= 1 - difficulty_threshold)
    else:
        hard = ~easy & (top_shares(graph.counts, graph.sizes)[graph.pattern] >= difficulty_threshold)
    level = np.where(easy, EASY, np.where(hard, HARD, MEDIUM)).astype(np.int8)
    n_easy, n_medium, n_hard = np.bincount(level, minlength=3) / len(level)
    return DifficultyLevels(level, (float(n_easy), float(n_medium), float(n_hard)), terciles)
