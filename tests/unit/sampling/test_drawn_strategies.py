"""Strategies that draw (Table 4), large classes and patterns, and the property that default lists are never empty."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csrms_dist.basics.hashing import mix
from csrms_dist.hierarchy.build import hierarchy_of
from csrms_dist.labels import label_lists
from csrms_dist.sampling import Candidates, build_candidates, negative_candidates, positive_candidates
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.sampling.strategies import kernels, lookups
from tests.unit.sampling.cases import (
    Case,
    cases,
    loop_class_members,
    loop_near,
    loop_relatives,
    loop_strangers,
    members,
)


def pattern_of(case: Case, row: int, given_pattern: int) -> int:
    return case.pattern[row] if row >= 0 else given_pattern


def patterns(case: Case) -> list[int]:
    """The pattern that each query is said to lie in, in turn for those that are no rows."""
    return [-1] * len(case.labels) + [q % (max(case.pattern) + 1) for q in range(len(case.extra))]


POSITIVE_POOLS = {
    "dominant_random": lambda case, labels, row: loop_class_members(case, labels, row),
    "random_of_class": loop_relatives,
}


@settings(max_examples=150)
@given(cases(), st.integers(1, 3), st.integers(1, 8))
def test_drawn_positives(case: Case, n: int, pool: int) -> None:
    for name, eligible in POSITIVE_POOLS.items():
        found = positive_candidates(*case.asked(), name, n, pool)
        for q, (_, labels, row) in enumerate(zip(*case.queries(), strict=True)):
            got, may = found.of(q).tolist(), eligible(case, labels, row)
            assert len(got) == len(set(got)) == min(len(may), max(n, pool))
            assert set(got) <= set(may)


@settings(max_examples=150)
@given(cases(), st.integers(1, 3), st.integers(1, 8))
def test_positives_and_negatives_of_other_patterns(case: Case, n: int, pool: int) -> None:
    # Held-out images lie in the pattern of the nearest mean; ask the negatives about a given one.
    said = patterns(case)
    negative = negative_candidates(*case.asked(), "other_cluster", n, pool, said)
    positive = positive_candidates(*case.asked(), "other_cluster", n, pool)
    whole = negative_candidates(*case.asked(), "random_other_class", n, pool)
    for q, (_, labels, row) in enumerate(zip(*case.queries(), strict=True)):
        strangers, own = loop_strangers(case, labels, row), pattern_of(case, row, said[q])
        for some, may in (
            (negative, [r for r in strangers if case.pattern[r] != own]),
            (whole, strangers),
        ):
            got = some.of(q).tolist()
            assert len(got) == len(set(got)) == min(len(may), max(n, pool))
            assert set(got) <= set(may)
        if row >= 0:
            may = [r for r in loop_relatives(case, labels, row) if case.pattern[r] != own]
            got = positive.of(q).tolist()
            assert len(got) == len(set(got)) == min(len(may), max(n, pool))
            assert set(got) <= set(may)


@given(cases(), st.integers(1, 3), st.integers(1, 6))
def test_same_pattern(case: Case, m: int, pool: int) -> None:
    said = patterns(case)
    found = negative_candidates(*case.asked(), "same_pattern", m, pool, said, case.distance)
    for q, (vector, labels, row) in enumerate(zip(*case.queries(), strict=True)):
        own = members(case, pattern_of(case, row, said[q]))
        assert found.of(q).tolist() == loop_near(case, vector, labels, row, own)[: max(m, pool)]


DRAWN = [
    ("dominant_random", "same_pattern"),
    ("random_of_class", "random_other_class"),
    ("other_cluster", "other_cluster"),
]


def large(n: int, multi_label: bool, seed: int = 3, common: float = 0.0) -> tuple:
    """(graph, features) of 4 classes over 3 patterns; `common`: the share of rows that carry class 0."""
    rng = np.random.default_rng(seed)
    pattern = np.concatenate([np.arange(3), rng.integers(0, 3, n - 3)])
    first = np.where(rng.random(n) < common, 0, rng.integers(1, 5, n))
    labels = [[int(k)] if not multi_label else sorted({int(k), *rng.integers(1, 5, 2).tolist()}) for k in first]
    graph = hierarchy_of(pattern, labels if multi_label else first)
    return graph, rng.normal(size=(n, 5)).astype(np.float32)


def same(a: Candidates, b: Candidates) -> bool:
    return all(np.array_equal(getattr(a, k), getattr(b, k)) for k in ("indptr", "neighbours", "priority", "weight"))


@pytest.mark.parametrize(("positives", "negatives"), [*DRAWN, ("dominant_far_half", "same_then_nearest")])
@pytest.mark.parametrize("multi_label", [False, True])
def test_ranges_joined_are_all_at_once(
    positives: str, negatives: str, multi_label: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "RANKED", 30)
    graph, features = large(600, multi_label)
    asked = SamplingSettings(positives, negatives, n_positives=2, n_negatives=2, pool=4, distance="euclidean")
    whole = build_candidates(graph, features, asked)
    parts = [build_candidates(graph, features, asked, rows) for rows in np.array_split(np.arange(600), 5)]
    for kind, some in whole.items():
        assert same(Candidates.concatenate([part[kind] for part in parts]), some)
        assert len(some.neighbours) > 600


@pytest.mark.parametrize(("positives", "negatives"), DRAWN[1:])
@pytest.mark.parametrize("multi_label", [False, True])
def test_draws_are_uniform(positives: str, negatives: str, multi_label: bool) -> None:
    """Each row that fits is drawn as often as any other, by tries and when all are looked through."""
    graph, features = large(1500, multi_label, common=0.3)
    labels = [set(row) for row in label_lists(graph.membership)]
    asked = SamplingSettings(positives, negatives, n_positives=5, n_negatives=5, pool=20)
    anchor = 7
    twins = [
        row for row in range(1500) if labels[row] == labels[anchor] and graph.pattern[row] == graph.pattern[anchor]
    ]
    for kind, some in build_candidates(graph, features, asked, twins).items():
        elsewhere = graph.pattern != graph.pattern[anchor] if positives == "other_cluster" else np.full(1500, True)
        shares = np.array([bool(labels[row] & labels[anchor]) for row in range(1500)])
        may = np.flatnonzero((shares == (kind == "positive")) & elsewhere)
        drawn = np.bincount(some.neighbours, minlength=1500)
        assert drawn.sum() == drawn[may].sum() == 20 * len(twins)
        expected = drawn.sum() / len(may)
        chi = ((drawn[may] - expected) ** 2).sum() / expected
        assert chi < len(may) + 5 * math.sqrt(2 * len(may))


def test_rows_that_hardly_fit_are_found_by_looking_through_all() -> None:
    """Class 0 is all of pattern 0 but 5 rows, and 5 more lie elsewhere: neither listing helps."""
    n = 30000
    labels, pattern = np.ones(n, np.int64), np.zeros(n, np.int64)
    labels[: n // 2], labels[-5:], pattern[-5:] = 0, 2, 1
    graph = hierarchy_of(pattern, labels)
    found = negative_candidates(
        graph,
        np.ones((n, 1), np.float32),
        np.ones((1, 1), np.float32),
        graph.membership[:1],
        [0],
        "other_cluster",
        9,
        9,
    )
    assert sorted(found.of(0).tolist()) == list(range(n - 5, n))


@given(st.integers(-1, 2**40), st.integers(0, 2**40))
def test_the_compiled_hash_is_that_of_the_library(a: int, b: int) -> None:
    found = kernels.mixed(np.uint64(5), np.uint64(a % 2**64), np.uint64(b))
    assert int(found) == int(mix(5, a, b)[0])


# ------------------------------------------------------------------ never empty, and classes and patterns of any size


@settings(max_examples=200, deadline=None)
@given(cases(), st.integers(1, 3), st.sampled_from([1, 3, 10**6]))
def test_a_default_list_is_empty_only_where_no_image_could_be_in_it(case: Case, n: int, ranked: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookups, "RANKED", ranked)
        positive = positive_candidates(*case.asked(), "dominant_far_half", n, n, case.distance)
        negative = negative_candidates(*case.asked(), "same_then_nearest", n, n, distance=case.distance)
    for q, (_, labels, row) in enumerate(zip(*case.queries(), strict=True)):
        assert bool(len(positive.of(q))) == bool(loop_relatives(case, labels, row))
        strangers = loop_strangers(case, labels, row)
        assert set(negative.of(q).tolist()) <= set(strangers)
        assert len(negative.of(q)) == min(n, len(strangers)) or len(negative.of(q)) > n


@pytest.mark.parametrize("multi_label", [False, True])
def test_of_a_large_class_or_pattern_a_sample_is_ranked(multi_label: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but 1 % carry class 0: a sample of the pattern holds hardly any other, so these are ranked by themselves."""
    graph, features = large(3000, multi_label, common=0.99)
    asked = SamplingSettings("dominant_far", n_positives=3, n_negatives=3, pool=6)
    exact = build_candidates(graph, features, asked)
    monkeypatch.setattr(lookups, "RANKED", 100)
    bounded = build_candidates(graph, features, asked)
    lists = [set(row) for row in label_lists(graph.membership)]
    degrees = np.diff(bounded["negative"].indptr)
    assert (degrees == np.diff(exact["negative"].indptr)).all()
    assert (np.diff(bounded["positive"].indptr) == np.diff(exact["positive"].indptr)).all()
    for row in range(0, 3000, 7):
        assert all(not lists[row] & lists[other] for other in bounded["negative"].of(row).tolist())
        assert all(lists[row] & lists[other] for other in bounded["positive"].of(row).tolist())
    if not multi_label:  # the few others in the pattern are all ranked
        some = [row for row in range(3000) if lists[row] == {0}]
        assert all(bounded["negative"].of(row).tolist() == exact["negative"].of(row).tolist() for row in some)
        assert len(set(bounded["positive"].neighbours.tolist())) <= 5 * 101  # those of the sample


def test_a_sample_of_a_union_is_the_sample_of_its_samples() -> None:
    rows = np.arange(1000)
    parts = [rows[:700], rows[400:]]
    once = lookups.sampled(rows, 50)
    twice = lookups.sampled(np.unique(np.concatenate([lookups.sampled(part, 50) for part in parts])), 50)
    assert once.tolist() == twice.tolist()
    assert len(once) == 50


# ------------------------------------------------------------------------------------------------- euclidean distance


@settings(max_examples=60)
@given(cases(), st.sampled_from([1.0, 3e-12, 7e9]))
def test_a_scale_changes_no_euclidean_ranking(case: Case, scale: float) -> None:
    graph, features, vectors, membership, rows = case.asked()
    factor = np.float32(scale)
    for positives in ("dominant_far", "dominant_far_half"):
        one, other = (
            positive_candidates(graph, features * by, vectors * by, membership, rows, positives, 3, 3, "euclidean")
            for by in (np.float32(1), factor)
        )
        assert same(one, other)
    one, other = (
        negative_candidates(
            graph, features * by, vectors * by, membership, rows, "same_then_nearest", 3, 3, distance="euclidean"
        )
        for by in (np.float32(1), factor)
    )
    assert same(one, other)


def test_a_row_far_from_all_others_leaves_their_order() -> None:
    features = np.array([[0.0], [3.0], [1.0], [2.0], [1e12]], np.float32)
    graph = hierarchy_of([0] * 5, [0] * 5)
    found = positive_candidates(
        graph, features, features[:1], graph.membership[:1], [0], "dominant_far", 5, 5, "euclidean"
    )
    assert found.of(0).tolist() == [4, 1, 3, 2]


def test_euclidean_looks_at_lengths_and_the_cosine_does_not() -> None:
    features = np.array([[1.0, 0.0], [5.0, 0.0], [0.0, 1.0]], np.float32)
    graph = hierarchy_of([0] * 3, [0] * 3)
    asked = (graph, features, features[:1], graph.membership[:1], [0], "dominant_far", 2, 2)
    assert positive_candidates(*asked, "cosine").of(0).tolist() == [2, 1]
    assert positive_candidates(*asked, "euclidean").of(0).tolist() == [1, 2]
