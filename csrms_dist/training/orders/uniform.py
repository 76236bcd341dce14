"""Every image once an epoch, in random order."""

from __future__ import annotations

from typing import ClassVar

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.hashing import permutation
from csrms_dist.training.orders.ground import Ground


class Uniform:
    """A permutation of all rows that depends on (seed, epoch) alone."""

    structural: ClassVar[bool] = False
    edge_types: ClassVar[tuple[str, ...]] = ()

    def __init__(self, ground: Ground) -> None:
        self._n, self._seed = ground.n_rows, ground.seed

    def __call__(self, epoch: int) -> I64:
        return permutation(self._n, self._seed, epoch)
