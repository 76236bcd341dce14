"""Every strategy against the paper's sentence written as plain loops, on small hierarchies full of ties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csrms_dist.basics.hashing import mix
from csrms_dist.basics.lookup import resolve
from csrms_dist.hierarchy.build import hierarchy_of
from csrms_dist.hierarchy.dominance import largest_dominated_pattern
from csrms_dist.sampling import (
    NEGATIVES,
    POSITIVES,
    nearest_patterns,
    negative_candidates,
    pattern_means,
    positive_candidates,
)
from csrms_dist.sampling.strategies import DISTANCES
from tests.unit.sampling.cases import (
    N_CLASSES,
    Case,
    cases,
    loop_class_members,
    loop_far,
    loop_nearest_dominated,
    loop_nearest_patterns,
    loop_positive_pattern,
    loop_relatives,
    loop_same_then_nearest,
    loop_strangers,
    mean_of,
    n_patterns,
)

CAP = 0x706F6F6C  # what the hash is for that caps a far half

# ---------------------------------------------------------------- positives


@given(cases())
def test_positive_patterns(case: Case) -> None:
    assert largest_dominated_pattern(case.graph).tolist() == [loop_positive_pattern(case, c) for c in range(N_CLASSES)]


@given(cases(), st.integers(1, 4), st.integers(1, 6))
def test_dominant_far_is_equation_5(case: Case, n: int, pool: int) -> None:
    found = positive_candidates(*case.asked(), "dominant_far", n, pool, case.distance)
    for q, (vector, labels, row) in enumerate(zip(*case.queries(), strict=True)):
        assert found.of(q).tolist() == loop_far(case, vector, loop_class_members(case, labels, row))[:n]


@given(cases(), st.integers(1, 3), st.integers(1, 4))
def test_dominant_far_half(case: Case, n: int, pool: int) -> None:
    found = positive_candidates(*case.asked(), "dominant_far_half", n, pool, case.distance)
    for q, (vector, labels, row) in enumerate(zip(*case.queries(), strict=True)):
        others = loop_relatives(case, labels, row)
        far = loop_far(case, vector, loop_class_members(case, labels, row) or others)
        half = far[: math.ceil(len(far) / 2)]
        got = found.of(q).tolist()
        kept = sorted(half, key=lambda r: -int(mix(CAP, row, r)[0]))[: max(n, pool)]
        assert got == [r for r in half if r in kept]  # farthest first
        assert got or not others


def test_the_cap_of_the_far_half_does_not_look_at_distance() -> None:
    rng = np.random.default_rng(0)
    n, n_far, kept = 400, 200, 40
    graph = hierarchy_of([0] * n, [0] * n, n_positives=10)
    features = rng.normal(size=(n, 8)).astype(np.float32)
    asked = (graph, features, features, graph.membership, np.arange(n), "dominant_far_half")
    whole, capped = positive_candidates(*asked, 10, n), positive_candidates(*asked, 10, kept)
    ranks, distinct = [], set()
    for row in range(n):
        assert len(whole.of(row)) == n_far
        assert len(capped.of(row)) == kept
        place = {r: i for i, r in enumerate(whole.of(row).tolist())}
        ranks += [place[r] for r in capped.of(row).tolist()]
        distinct.add(tuple(sorted(capped.of(row).tolist())))
    share = np.bincount(np.array(ranks) // 50, minlength=4) / len(ranks)
    assert np.abs(share - 0.25).max() < 0.02  # each quarter of the half is as likely
    assert len(distinct) == n  # and every anchor has its own pool


def test_anchors_of_one_far_half_keep_different_pools() -> None:
    n = 60
    graph = hierarchy_of([0] * n, [0] * n, n_positives=2)
    features = np.ones((n, 2), dtype=np.float32)  # every distance ties, so the far half is rows 0..29 for rows 30..59
    found = positive_candidates(graph, features, features, graph.membership, np.arange(n), "dominant_far_half", 2, 5)
    pools = {tuple(found.of(row).tolist()) for row in range(30, n)}
    assert len(pools) > 25
    assert all(max(pool) < 30 for pool in pools)


def test_a_class_that_dominates_nothing_uses_its_fallback() -> None:
    case = Case(
        vectors=[[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1]],
        labels=[[0], [0], [0], [1], [1]],
        pattern=[0, 0, 0, 0, 0],
        extra=[],
        extra_labels=[],
        threshold=0.5,
        multi_label=False,
    )
    assert largest_dominated_pattern(case.graph).tolist() == [0, 0, -1, -1]
    found = positive_candidates(*case.asked(), "dominant_far", 3, 3)
    assert [found.of(q).tolist() for q in (3, 4)] == [[4], [3]]


def test_an_only_image_of_its_class_has_no_positives_and_is_not_its_own() -> None:
    case = Case(
        vectors=[[1, 0, 0], [0, 1, 0], [0, 1, 1]],
        labels=[[0], [1], [1]],
        pattern=[0, 1, 1],
        extra=[[1, 1, 1]],
        extra_labels=[[0]],
        threshold=0.6,
        multi_label=False,
    )
    for strategy in POSITIVES:
        found = positive_candidates(*case.asked(), strategy, 2, 2)
        assert found.of(0).tolist() == []
        assert found.of(3).tolist() == [0]  # a held-out image of the class has that one


# ---------------------------------------------------------------- negatives


@given(cases())
def test_means_and_nearest_patterns(case: Case) -> None:
    distance = resolve(DISTANCES[case.distance])(case.features)
    means = pattern_means(case.graph, case.features, distance)
    for k in range(n_patterns(case)):
        assert means[k] == pytest.approx(distance.prepared([mean_of(case, k)])[0], abs=1e-9)
    found = nearest_patterns(case.graph, case.features, case.features, distance)
    assert found.tolist() == [loop_nearest_patterns(case, vector)[0] for vector in case.vectors]


@settings(max_examples=200)
@given(cases(), st.integers(1, 5), st.integers(1, 6))
def test_same_then_nearest(case: Case, m: int, pool: int) -> None:
    found = negative_candidates(*case.asked(), "same_then_nearest", m, pool, distance=case.distance)
    for q, (vector, labels, row) in enumerate(zip(*case.queries(), strict=True)):
        got = list(
            zip(found.of(q).tolist(), found.priority[found.indptr[q] : found.indptr[q + 1]].tolist(), strict=True)
        )
        assert got == loop_same_then_nearest(case, vector, labels, row, m, pool)
        assert len(got) >= min(m, len(loop_strangers(case, labels, row)))  # empty only when there is no other class


@settings(max_examples=200)
@given(cases(), st.integers(1, 5), st.integers(1, 6))
def test_nearest_dominated_is_equation_6(case: Case, m: int, pool: int) -> None:
    found = negative_candidates(*case.asked(), "nearest_dominated", m, pool, distance=case.distance)
    for q, (vector, labels, row) in enumerate(zip(*case.queries(), strict=True)):
        assert found.of(q).tolist() == loop_nearest_dominated(case, vector, labels, row, m)


@pytest.mark.parametrize("strategy", sorted(NEGATIVES))
def test_one_class_has_no_negatives(strategy: str) -> None:
    case = Case(
        vectors=[[1, 0, 0], [0, 1, 0], [0, 1, 1]],
        labels=[[2], [2], [2]],
        pattern=[0, 1, 1],
        extra=[],
        extra_labels=[],
        threshold=0.6,
        multi_label=False,
    )
    found = negative_candidates(*case.asked(), strategy, 2, 2)
    assert found.indptr.tolist() == [0, 0, 0, 0]


def test_a_pure_pattern_is_filled_from_mixed_ones_when_no_class_dominates_them() -> None:
    case = Case(
        vectors=[[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]],
        labels=[[0], [0], [1], [2], [1], [2]],
        pattern=[0, 0, 1, 1, 2, 2],
        extra=[],
        extra_labels=[],
        threshold=0.6,
        multi_label=False,
    )
    found = negative_candidates(*case.asked(), "same_then_nearest", 3, 3)
    assert found.of(0).tolist() == [2, 3, 4]
    assert negative_candidates(*case.asked(), "nearest_dominated", 3, 3).of(0).tolist() == []
    assert negative_candidates(*case.asked(), "nearest_dominated", 3, 3).of(2).tolist() == [0, 1]


def test_a_query_may_bring_its_own_pattern() -> None:
    case = Case(
        vectors=[[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1]],
        labels=[[0], [1], [0], [1]],
        pattern=[0, 0, 1, 1],
        extra=[[1, 0, 0], [1, 0, 0]],
        extra_labels=[[0], [0]],
        threshold=0.6,
        multi_label=False,
    )
    found = negative_candidates(*case.asked(), "same_then_nearest", 1, 1, query_patterns=[-1, -1, -1, -1, 1, -1])
    assert found.of(4).tolist() == [3]
    assert found.of(5).tolist() == [1]
