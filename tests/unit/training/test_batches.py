"""Neighbours are drawn for several batches at once, and are those that each batch alone would get."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from csrms_dist.basics.collective import Collective
from csrms_dist.sampling.subgraph import BatchSubgraph, Edges
from csrms_dist.training import batches as room
from csrms_dist.training.batches import batches, cut
from csrms_dist.training.loop import global_batches
from csrms_dist.training.placement import CPU


class Counted:
    """A sampler that notes how many anchors it was asked about."""

    def __init__(self, sampler: Any) -> None:
        self.sampler, self.asked = sampler, []  # type: ignore[var-annotated]

    def sample(self, anchors: np.ndarray, epoch: int) -> BatchSubgraph:
        self.asked.append(len(anchors))
        found: BatchSubgraph = self.sampler.sample(anchors, epoch)
        return found


@pytest.mark.parametrize(("rank", "world"), [(0, 1), (1, 3)])
@pytest.mark.parametrize("drawn", [1, 60, 10**6])
def test_the_same_edges_however_many_are_drawn_at_once(
    digits_run: Any, monkeypatch: pytest.MonkeyPatch, drawn: int, rank: int, world: int
) -> None:
    monkeypatch.setattr(room, "DRAWN", drawn)
    method, sampler = digits_run.csrms("paper")
    counted, workers = Counted(sampler), Collective(rank, world)
    order = global_batches(len(digits_run.data), 25, 10**6, 0, 2)
    found = list(batches(method, digits_run.data, order, 2, workers, counted, CPU))
    assert len(found) == len(order)
    for batch, rows in zip(found, order, strict=True):
        local = rows[rank::world]
        assert np.array_equal(batch.rows, local)
        assert np.array_equal(batch.global_rows, rows)
        alone = sampler.sample(local, 2)
        assert batch.subgraph is not None
        assert np.array_equal(batch.subgraph.anchors, local)
        assert set(batch.subgraph.edges) == set(alone.edges) == {"positive", "negative"}
        for name, edges in alone.edges.items():
            assert np.array_equal(batch.subgraph.edges[name].anchor, edges.anchor)
            assert np.array_equal(batch.subgraph.edges[name].neighbour, edges.neighbour)
    sizes = [len(rows[rank::world]) for rows in order]
    assert sum(counted.asked) == sum(sizes)
    assert max(counted.asked) <= max(drawn, *sizes)
    if drawn == 10**6:
        assert len(counted.asked) == 1


def test_anchors_without_edges_and_batches_without_anchors() -> None:
    edges = Edges(np.array([0, 0, 3]), np.array([7, 8, 9]))
    parts = cut(BatchSubgraph(np.array([5, 6, 7, 8]), {"positive": edges}), [2, 0, 1, 1])
    assert [part.anchors.tolist() for part in parts] == [[5, 6], [], [7], [8]]
    assert [part.edges["positive"].anchor.tolist() for part in parts] == [[0, 0], [], [], [0]]
    assert [part.edges["positive"].neighbour.tolist() for part in parts] == [[7, 8], [], [], [9]]
