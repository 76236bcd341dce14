"""Batches that are sub-graphs: anchors, with some of their positives and of their look-alikes as ordinary members."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.hashing import permutation
from csrms_dist.sampling.subgraph import NEGATIVE, POSITIVE
from csrms_dist.training.orders.ground import Ground

MEMBERS = 2
"""Positives, and negatives, that an anchor brings with it at most."""


class SubgraphOrder:
    """Each batch is filled anchor after anchor, an image at most once, so that each is encoded once.

    Anchors come in uniform order, those that have not been a member in this epoch first.
    """

    structural: ClassVar[bool] = True
    edge_types: ClassVar[tuple[str, ...]] = (POSITIVE, NEGATIVE)

    def __init__(self, ground: Ground) -> None:
        if ground.sampler is None:
            raise ValueError("sub-graph batches need a sampler")
        self._sampler, self._size = ground.sampler, ground.batch_size
        self._n, self._seed = ground.n_rows, ground.seed

    def __call__(self, epoch: int) -> I64:
        anchors, place = permutation(self._n, self._seed, epoch), 0
        came = np.zeros(self._n, np.bool_)
        order = np.empty(self._n, np.int64)
        for start in range(0, self._n, self._size):
            size, batch = min(self._size, self._n - start), np.zeros(0, np.int64)
            while len(batch) < size:
                waiting, place = _waiting(anchors, place, came, -(-(size - len(batch)) // (1 + 2 * MEMBERS)))
                if not len(waiting):  # every image came
                    waiting, came[:], place = anchors[~np.isin(anchors, batch)][: size - len(batch)], False, 0
                batch = _distinct(np.concatenate([batch, self._with_members(waiting, epoch)]))
                came[batch] = True
            order[start : start + size] = batch[:size]
        return order

    def _with_members(self, anchors: I64, epoch: int) -> I64:
        """Each anchor, then its neighbours, one anchor after the other."""
        found = self._sampler.sample(anchors, epoch)
        parts, there = [anchors[:, None]], [np.ones((len(anchors), 1), np.bool_)]
        for kind in (POSITIVE, NEGATIVE):
            index, mask = found.dense(kind, MEMBERS)
            parts.append(index)
            there.append(mask)
        members: I64 = np.concatenate(parts, axis=1)[np.concatenate(there, axis=1)]
        return members


def _waiting(anchors: I64, place: int, came: np.ndarray, n: int) -> tuple[I64, int]:
    """The next n anchors from `place` on that have not come, and the place behind them."""
    found = np.zeros(0, np.int64)
    while len(found) < n and place < len(anchors):
        some = anchors[place : place + 2 * n]
        free = np.flatnonzero(~came[some])[: n - len(found)]
        place += int(free[-1]) + 1 if len(free) == n - len(found) else len(some)
        found = np.concatenate([found, some[free]])
    return found, place


def _distinct(rows: I64) -> I64:
    """Rows without repetition, in the order in which they come first."""
    _, first = np.unique(rows, return_index=True)
    return np.asarray(rows[np.sort(first)])
