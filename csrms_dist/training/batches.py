"""A worker's batches of an epoch, each made while the one before it is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.collective import Collective
from csrms_dist.labels import Membership
from csrms_dist.methods.protocol import Batch, Method
from csrms_dist.sampling.class_aware import ClassAwareSubgraph
from csrms_dist.sampling.protocol import Sampler
from csrms_dist.sampling.subgraph import BatchSubgraph, Edges
from csrms_dist.training.inputs import Inputs
from csrms_dist.training.placement import Placement

DRAWN = 1024
"""Anchors whose neighbours are drawn at once. A draw costs more than a millisecond beside what it costs an anchor, and
what is drawn for one does not depend on the others."""


@dataclass(frozen=True)
class TrainingData:
    """N training rows: what the encoder is fed with, and membership (N, K)."""

    inputs: Inputs
    membership: Membership

    def __len__(self) -> int:
        return int(self.membership.shape[0])


def batches(
    method: Method,
    data: TrainingData,
    order: list[I64],
    epoch: int,
    collective: Collective,
    sampler: Sampler | None,
    placement: Placement,
) -> Iterator[Batch]:
    """This worker's slices of the global batches of `order`; the next one is made while the last one is trained on."""
    make = _Maker(method, data, order, epoch, collective, sampler if method.edge_types else None, placement)
    with ThreadPoolExecutor(1) as ahead:
        pending = [ahead.submit(make, number) for number in range(len(order))[:1]]
        for number in range(1, len(order)):
            batch = pending.pop().result()
            pending.append(ahead.submit(make, number))
            yield _arrived(batch, placement)
        for last in pending:
            yield _arrived(last.result(), placement)


def _arrived(batch: Batch, placement: Placement) -> Batch:
    placement.arrived([batch.inputs, batch.membership, batch.more_inputs])
    return batch


class _Maker:
    """Makes the batches of an epoch by number, in order, on one thread."""

    def __init__(
        self,
        method: Method,
        data: TrainingData,
        order: list[I64],
        epoch: int,
        collective: Collective,
        sampler: Sampler | None,
        placement: Placement,
    ) -> None:
        self._data, self._order, self._epoch = data, order, epoch
        self._sampler, self._placement = sampler, placement
        self._more_rows, self._more_view = method.more_rows, method.more_view
        self._local = [rows[collective.rank :: collective.world] for rows in order]
        self._drawn: dict[int, BatchSubgraph] = {}
        self._together = DRAWN

    def __call__(self, number: int) -> Batch:
        local, data, placement = self._local[number], self._data, self._placement
        subgraph = self._subgraph(number, self._sampler) if self._sampler is not None else None
        more = self._more_rows(local, self._order[number], subgraph)
        device, view = placement.device, self._more_view
        with placement.ahead():
            return Batch(
                rows=local,
                inputs=data.inputs(local, self._epoch, 0, device),
                membership=placement.put(torch.from_numpy(data.membership[local].toarray().astype(np.float32))),
                global_rows=self._order[number],
                subgraph=subgraph,
                more_rows=more,
                more_inputs=None if more is None else data.inputs(more, self._epoch, view, device),
            )

    def _subgraph(self, number: int, sampler: Sampler) -> BatchSubgraph:
        if number not in self._drawn:
            some = [self._local[number]]
            for following in self._local[number + 1 :]:
                if sum(map(len, some)) + len(following) > self._together:
                    break
                some.append(following)
            whole = sampler.sample(np.concatenate(some), self._epoch)
            if isinstance(whole, ClassAwareSubgraph):  # it cannot be cut: patterns and classes are those of all anchors
                self._together = 0
                return sampler.sample(self._local[number], self._epoch)
            self._drawn = dict(enumerate(cut(whole, [len(rows) for rows in some]), number))
        return self._drawn.pop(number)


def cut(subgraph: BatchSubgraph, sizes: list[int]) -> list[BatchSubgraph]:
    """The sub-graph of several batches, one after the other -> that of each, of so many anchors."""
    found, start = [], 0
    for size in sizes:
        stop = start + size
        edges = {}
        for name, some in subgraph.edges.items():
            low, high = np.searchsorted(some.anchor, (start, stop))
            edges[name] = Edges(some.anchor[low:high] - start, some.neighbour[low:high])
        found.append(BatchSubgraph(subgraph.anchors[start:stop], edges))
        start = stop
    return found
