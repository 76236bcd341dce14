"""Every class as often as every other."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.hashing import permutation
from csrms_dist.training.orders.ground import Cycles, Ground

_ROUND = 0x726F756E64


class ClassBalanced:
    """Round after round each class that has images gives one, the classes in a new order each round.

    So images of small classes come several times an epoch, and some of large ones not at all. With several labels an
    image comes for each of its classes; images without labels do not come.
    """

    structural: ClassVar[bool] = False
    edge_types: ClassVar[tuple[str, ...]] = ()

    def __init__(self, ground: Ground) -> None:
        by_class = ground.membership.tocsc()
        self._indptr, self._rows = by_class.indptr.astype(np.int64), by_class.indices.astype(np.int64)
        self._classes = np.flatnonzero(np.diff(self._indptr))
        self._n, self._seed = ground.n_rows, ground.seed

    def __call__(self, epoch: int) -> I64:
        k = len(self._classes)
        rounds = range(-(-self._n // k))
        turns = [self._classes[permutation(k, _ROUND, self._seed, epoch, number)] for number in rounds]
        wanted, cycles = np.concatenate(turns)[: self._n], Cycles(self._indptr, self._rows, self._seed, epoch)
        order = np.empty(self._n, np.int64)
        for label in self._classes.tolist():
            places = np.flatnonzero(wanted == label)
            order[places] = cycles.next(label, len(places))
        return order
