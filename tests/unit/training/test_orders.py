"""The orders of an epoch's images: which come together, how often, and that any worker finds the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.basics.lookup import resolve
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.labels import LabelSpace
from csrms_dist.sampling import ReferenceSampler, build_candidates
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.training.loop import global_batches
from csrms_dist.training.orders import ORDERS
from csrms_dist.training.orders.ground import Cycles, Ground
from csrms_dist.training.orders.subgraph import MEMBERS

K = 6
SIZES = {"positive": 3, "negative": 3}


def ground(n: int = 90, batch_size: int = 16, *, several: bool = False, seed: int = 0) -> tuple[Ground, Any, Any]:
    """Images of six classes of uneven size in nine patterns, each of which two neighbouring classes share."""
    draw = np.random.default_rng(seed)
    pattern = np.arange(n) % 9
    labels = np.where(draw.random(n) < 0.7, pattern % K, (pattern + 1) % K)
    labels[: n // 3] = 0
    sets = [[int(a), (int(a) + 2) % K] if several and i % 3 == 0 else [int(a)] for i, a in enumerate(labels)]
    space = LabelSpace(tuple("abcdef"), multi_label=several)
    membership = space.membership(sets if several else labels.tolist())
    graph = build_hierarchy(
        pattern, np.ones(n), membership, np.arange(n), dominance_threshold=0.5, n_positives=3, multi_label=several
    )
    candidates = build_candidates(graph, draw.normal(size=(n, 5)).astype(np.float32), SamplingSettings(n_positives=3))
    sampler = ReferenceSampler(candidates, SIZES, seed)
    return Ground(batch_size, membership, seed, sampler, lambda: graph), graph, sampler


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("name", ORDERS)
@given(n=st.integers(9, 60), batch_size=st.integers(1, 70), seed=st.integers(0, 3))
def test_an_epoch_has_as_many_images_as_rows(name: str, several: bool, n: int, batch_size: int, seed: int) -> None:
    made = ground(n, batch_size, several=several, seed=seed)[0]
    order = resolve(ORDERS[name])(made)
    first = order(1)
    assert first.shape == (n,)
    assert first.dtype == np.int64
    assert ((first >= 0) & (first < n)).all()
    np.testing.assert_array_equal(resolve(ORDERS[name])(made)(1), first)  # of (seed, epoch) alone, not of calls before
    assert n < 20 or not np.array_equal(order(2), first)


def test_uniform_is_the_order_of_no_order() -> None:
    made = ground()[0]
    order = resolve(ORDERS["uniform"])(made)
    for mine, theirs in zip(global_batches(90, 16, 1000, 0, 3, order), global_batches(90, 16, 1000, 0, 3), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("several", [False, True])
def test_balanced_classes_come_equally_often(several: bool) -> None:
    made = ground(91, several=several)[0]
    dense = made.membership.toarray()
    order = resolve(ORDERS["class_balanced"])(made)(0)
    if not several:
        counts = np.bincount(dense[order].argmax(axis=1), minlength=K)
        assert counts.max() - counts.min() <= 1
        for start in range(0, 90, K):  # each round has every class
            assert len(set(dense[order[start : start + K]].argmax(axis=1))) == K
    # Of each class no image comes again before all came.
    if not several:
        for label in range(K):
            rows = [row for row in order.tolist() if dense[row, label]]
            size = int(dense[:, label].sum())
            for start in range(0, len(rows) - size + 1, size):
                assert len(set(rows[start : start + size])) == size


def test_rows_of_groups_cycle() -> None:
    cycles = Cycles(np.array([0, 3, 4]), np.array([10, 11, 12, 20]), 0, 0)
    found = np.concatenate([cycles.next(0, 2), cycles.next(0, 5), cycles.next(0, 0)]).tolist()
    assert sorted(found[:3]) == sorted(found[3:6]) == [10, 11, 12]
    assert cycles.next(1, 3).tolist() == [20, 20, 20]


def test_a_sub_graph_batch_has_each_image_once_and_brings_its_neighbours() -> None:
    made, _, sampler = ground()
    order = resolve(ORDERS["subgraph"])(made)(0)
    for start in range(0, 90, 16):
        batch = order[start : start + 16].tolist()
        assert len(set(batch)) == len(batch)
    # The first batch by plain loops: anchors in uniform order that have not come, each with two of both kinds.
    anchors = iter(resolve(ORDERS["uniform"])(made)(0).tolist())
    expected: list[int] = []
    while len(expected) < 16:
        batch = expected
        missing = -(-(16 - len(expected)) // (1 + 2 * MEMBERS))
        wave = [next(row for row in anchors if row not in batch) for _ in range(missing)]
        for anchor in wave:
            found = sampler.sample(np.array([anchor]), 0)
            members = [anchor]
            for kind in ("positive", "negative"):
                index, mask = found.dense(kind, MEMBERS)
                members += index[0][mask[0]].tolist()
            expected += [row for row in dict.fromkeys(members) if row not in expected]
    assert order[:16].tolist() == expected[:16]


def test_look_alike_classes_share_a_batch() -> None:
    made, graph, _ = ground(180, 12)
    dense = made.membership.toarray()
    meets = (graph.counts.T @ graph.counts).toarray() > 0
    order = resolve(ORDERS["look_alikes"])(made)(0)
    for start in range(0, 180, 12):
        labels = dense[order[start : start + 12]].argmax(axis=1)
        counts = np.bincount(labels, minlength=K)
        present = np.flatnonzero(counts)
        assert counts[present].max() - counts[present].min() <= 1
        assert any(meets[label][present].all() for label in present)  # one of them meets all others in a pattern
