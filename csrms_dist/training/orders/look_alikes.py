"""Batches over the graph of look-alike classes: a class beside those that share its patterns."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.hashing import permutation
from csrms_dist.hierarchy.look_alikes import KEPT, look_alikes
from csrms_dist.training.orders.ground import Cycles, Ground

_CLASSES = 0x636C6173


class LookAlikeOrder:
    """Each batch has equal numbers of images of one class and of the classes that look most like it, at most five.

    The first class of the batches goes through the classes in proportion to their images: it is the (first) class of
    the next image in uniform order. A class that looks like none has its batch with random other classes.
    """

    structural: ClassVar[bool] = True
    edge_types: ClassVar[tuple[str, ...]] = ()

    def __init__(self, ground: Ground) -> None:
        if ground.hierarchy is None:
            raise ValueError("batches of look-alike classes need the hierarchy")
        pairs = look_alikes(ground.hierarchy())
        by_class = ground.membership.tocsc()
        self._indptr, self._rows = by_class.indptr.astype(np.int64), by_class.indices.astype(np.int64)
        self._membership, self._size = ground.membership, ground.batch_size
        self._n, self._seed = ground.n_rows, ground.seed
        self._alike: dict[int, I64] = {}
        for label in np.unique(pairs.source).tolist():
            some = np.flatnonzero(pairs.source == label)
            some = some[np.argsort(-pairs.bound[some], kind="stable")]
            self._alike[label] = pairs.target[some]
        self._classes = np.flatnonzero(np.diff(self._indptr))

    def __call__(self, epoch: int) -> I64:
        cycles = Cycles(self._indptr, self._rows, self._seed, epoch)
        uniform = permutation(self._n, self._seed, epoch)
        labelled = uniform[np.diff(self._membership.indptr)[uniform] > 0]
        order = np.empty(self._n, np.int64)
        for number, start in enumerate(range(0, self._n, self._size)):
            size = min(self._size, self._n - start)
            row = int(labelled[number % len(labelled)])
            first = int(self._membership.indices[self._membership.indptr[row]])
            classes = np.concatenate([[first], self._alike.get(first, self._others(first, epoch, number))])[:size]
            each = np.full(len(classes), size // len(classes))
            each[: size % len(classes)] += 1
            parts = [cycles.next(label, n) for label, n in zip(classes.tolist(), each.tolist(), strict=True)]
            order[start : start + size] = np.concatenate(parts)
        return order

    def _others(self, label: int, epoch: int, number: int) -> I64:
        """Random other classes, as many as a class has look-alikes at most."""
        others = self._classes[self._classes != label]
        return np.asarray(others[permutation(len(others), _CLASSES, self._seed, epoch, number)][:KEPT])
