"""The port of an order of images, and the ground that it is made on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.hashing import permutation
from csrms_dist.basics.lookup import Kind, takes
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import Membership
from csrms_dist.sampling.protocol import Sampler


@dataclass(frozen=True)
class Ground:
    """batch_size: of a global batch. membership: (N, K). seed: of the training.

    sampler: draws the neighbours of an order that says `structural`; hierarchy: makes the graph of the rows when asked.
    """

    batch_size: int
    membership: Membership
    seed: int
    sampler: Sampler | None = None
    hierarchy: Callable[[], HierarchyGraph] | None = None

    @property
    def n_rows(self) -> int:
        return int(self.membership.shape[0])


class Order(Protocol):
    """Made with a Ground; epoch -> (N,) rows.

    structural: it looks at the hierarchy; stage 0 and the control, which have none, go on in uniform order.
    edge_types: the neighbours that it draws.
    """

    structural: ClassVar[bool]
    edge_types: ClassVar[tuple[str, ...]]

    def __init__(self, ground: Ground) -> None: ...

    def __call__(self, epoch: int) -> I64: ...


KIND = Kind(
    "a class of {} that is made with a Ground, called with an epoch, and says `structural` and `edge_types`",
    lambda value: takes(value, 1) and hasattr(value, "structural") and hasattr(value, "edge_types"),
)
"""An order of a user's own."""

_WITHIN = 0x77697468


class Cycles:
    """The rows of several groups, each group in an order of its own that begins anew, otherwise, when it is through.

    indptr (G + 1,), rows: of the groups. seed, epoch: of the orders.
    """

    def __init__(self, indptr: I64, rows: I64, seed: int, epoch: int) -> None:
        self._indptr, self._rows, self._seed, self._epoch = indptr, rows, seed, epoch
        self._order: dict[int, I64] = {}
        self._taken = np.zeros(len(indptr) - 1, np.int64)

    def next(self, group: int, n: int) -> I64:
        """The next n rows of a group that has any; no row comes twice before all came once."""
        first, size = int(self._indptr[group]), int(self._indptr[group + 1] - self._indptr[group])
        found = []
        while n > 0:
            turn, place = divmod(int(self._taken[group]), size)
            if place == 0:
                order = permutation(size, _WITHIN, self._seed, self._epoch, group, turn)
                self._order[group] = self._rows[first + order]
            some = self._order[group][place : place + n]
            found.append(some)
            self._taken[group] += len(some)
            n -= len(some)
        return np.concatenate(found) if found else np.zeros(0, np.int64)
