"""The draws of an augmentation: a hash of what they are for, of (seed, epoch, image) and of the view, whoever draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from csrms_dist.basics.arrays import I64, U64
from csrms_dist.basics.compiling import compiled
from csrms_dist.basics.hashing import mix

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True)
class Draw:
    """What decides the draw of an image, beside the image. view: 0, or another number for another draw of the same."""

    seed: int
    epoch: int
    view: int = 0

    def words(self, purpose: int, indices: I64) -> U64:
        """(B,) one hash an image, from which `uniform_of` makes as many numbers as are wanted."""
        return mix(purpose, self.seed, self.epoch, indices, self.view)


@compiled
def uniform_of(word: Any, number: Any) -> Any:
    """`basics.hashing.uniform(..., number)` where `word` is the hash of all before it: a float64 in [0, 1)."""
    x = (word ^ np.uint64(number)) + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return float((x ^ (x >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
