"""The weights of a batch's anchors from their difficulty and a curriculum (CSRMS eq. 7-8)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from csrms_dist.basics.arrays import F32, I8, I64
from csrms_dist.basics.lookup import Kind, takes
from csrms_dist.errors import ConfigError
from csrms_dist.hierarchy.difficulty import LEVEL_NAMES

History = Sequence[Mapping[str, float]]
Curriculum = Callable[[History, int], tuple[float, float, float]]

KIND = Kind("a function of {} that takes (history, epochs)", lambda value: takes(value, 2))
"""A curriculum of a user's own."""

FLOOR = 0.05
"""The least weight of a level: without easy images the first epochs would have no weight to share out."""
EASY_FIRST, EASY_LAST = 0.95, 0.33
MEDIUM_FIRST, MEDIUM_LAST = 0.95, 0.5


def shares(alpha_i: float, alpha_f: float) -> tuple[float, float, float]:
    """Eq. 8 read as group weights: easy alpha_i, medium (1 - alpha_i) alpha_f, hard (1 - alpha_i)(1 - alpha_f).

    The equation has three unknown lambdas; with these weights in their place it holds for lambdas of 1.

    >>> shares(0.5, 0.5)
    (0.5, 0.25, 0.25)
    """
    return alpha_i, (1 - alpha_i) * alpha_f, (1 - alpha_i) * (1 - alpha_f)


def eased(first: float, last: float, share: float) -> float:
    """From first to last along half a cosine, share in 0..1 of the way, held before and after."""
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0)))


class AnchorWeights:
    """Weights of training rows in the relation terms, with mean 1 over every global batch.

    level: (N,) int8, the difficulty of each row. curriculum: says how much each level weighs in an epoch.
    """

    def __init__(self, level: I8, curriculum: Curriculum) -> None:
        self._level, self._curriculum = level.astype(np.int64), curriculum
        self.of_level: F32 = np.ones(len(LEVEL_NAMES), np.float32)

    def begin_epoch(self, history: History, epochs: int) -> None:
        """Take the weights of the levels in the epoch after those of the history.

        Raises ConfigError for a curriculum of a user's own that gives something else than three numbers in [0, 1].
        """
        found = np.asarray(self._curriculum(history, epochs), dtype=np.float64)
        if found.shape != (len(LEVEL_NAMES),) or not ((found >= 0) & (found <= 1)).all():
            raise ConfigError(
                "method.curriculum", got=str(found.tolist()), expected=f"a number in [0, 1] for each of {LEVEL_NAMES}"
            )
        self.of_level = np.maximum(found, FLOOR).astype(np.float32)

    def of(self, rows: I64, global_rows: I64) -> Tensor:
        """(b,) float32 weights of this worker's rows (b,); their mean over global_rows (B,) is 1."""
        weight, everyone = self.of_level[self._level[rows]], self.of_level[self._level[global_rows]]
        return torch.from_numpy(weight / everyone.mean(dtype=np.float64).astype(np.float32))

    def observed(self, rows: I64, weights: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """By level the sum of the weights (b,), on the host, of its rows (b,) and their number, for an epoch's
        report."""
        level = torch.from_numpy(self._level[rows])
        held = weights.to(torch.float64)
        sums = torch.zeros(len(LEVEL_NAMES), dtype=torch.float64).index_add(0, level, held)
        numbers = torch.bincount(level, minlength=len(LEVEL_NAMES)).to(torch.float64)
        return {f"weight_{name}": (sums[k], numbers[k]) for k, name in enumerate(LEVEL_NAMES)}
