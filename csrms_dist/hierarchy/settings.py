"""The section `graph`."""

from __future__ import annotations

from dataclasses import dataclass

from csrms_dist.basics.settings import Settings, setting

KEEP_RUNS = 3

DIFFICULTY_RULES = ("shares", "terciles", "released")
"""How `difficulty.difficulty_levels` tells easy from hard."""


@dataclass(frozen=True)
class GraphSettings(Settings):
    dominance_threshold: float = setting(0.6, "[0, 1)", doc="rho_2: a class with a larger share dominates a pattern")
    difficulty_threshold: float = setting(0.9, "[0, 1)", doc="rho_1 of eq. 7")
    keep_runs: int = setting(KEEP_RUNS, "[1, 1000]", doc="runs of a data set that an embedded store keeps, the newest")
