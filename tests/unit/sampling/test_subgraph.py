"""The sampler's output, the draw, and the packages that importing this one loads."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from csrms_dist.errors import DataError, MissingDependencyError
from csrms_dist.sampling import BatchSubgraph, Candidates, Edges, edge_keys
from csrms_dist.sampling.dgl_sampler import DglSampler


def test_dense_pads_with_a_legal_row_and_keeps_the_order() -> None:
    edges = Edges(np.array([0, 0, 0, 2]), np.array([9, 4, 7, 3]))
    subgraph = BatchSubgraph(np.array([11, 12, 13]), {"positive": edges})
    neighbours, mask = subgraph.dense("positive", 2)
    assert neighbours.tolist() == [[9, 4], [0, 0], [3, 0]]
    assert mask.tolist() == [[True, True], [False, False], [True, False]]
    assert neighbours.dtype == np.int64
    assert len(subgraph) == 3
    with pytest.raises(DataError, match="negative"):
        subgraph.dense("negative", 2)


def test_keys_of_a_higher_priority_always_win() -> None:
    rows = np.arange(100_000)
    low = edge_keys(1, 2, rows, rows[::-1].copy(), np.zeros(len(rows), dtype=np.uint8))
    high = edge_keys(1, 2, rows, rows[::-1].copy(), np.full(len(rows), 255, dtype=np.uint8))
    assert low.dtype == np.float64
    assert low.min() >= 0
    assert low.max() < 1
    assert high.min() >= 255
    assert high.max() < 256


def test_keys_depend_on_seed_epoch_and_both_ends() -> None:
    src, dst, none = np.arange(50), np.arange(50, 100), np.zeros(50, dtype=np.uint8)
    drawn = [edge_keys(0, 0, src, dst, none), edge_keys(1, 0, src, dst, none), edge_keys(0, 1, src, dst, none)]
    drawn += [edge_keys(0, 0, dst, src, none), edge_keys(0, 0, src, dst + 1, none), edge_keys(0, 0, src + 1, dst, none)]
    assert len(np.unique(np.concatenate(drawn))) == 300
    assert np.array_equal(drawn[0][10:20], edge_keys(0, 0, src[10:20], dst[10:20], none[10:20]))


def test_the_core_does_not_import_dgl() -> None:
    code = "import sys; from csrms_dist.sampling import *; assert not {'dgl', 'torch'} & set(sys.modules), 'imported'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_dgl_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dgl", None)
    empty = Candidates(np.zeros(2, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint8))
    with pytest.raises(MissingDependencyError, match="dgl"):
        DglSampler({"positive": empty}, {"positive": 1}, 0)
