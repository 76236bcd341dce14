"""Every strategy against the paper's sentence written as plain loops, on small hierarchies full of ties."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csrms_dist.hierarchy.build import build_hierarchy, hierarchy_of
from csrms_dist.hierarchy.dominance import largest_dominated_pattern
from csrms_dist.hierarchy.graph import ROLE_FALLBACK, HierarchyGraph
from csrms_dist.labels import LabelSpace
from csrms_dist.sampling import (
    NEGATIVES,
    POSITIVES,
    nearest_patterns,
    negative_candidates,
    pattern_means,
    positive_candidates,
)

N_CLASSES = 4


@dataclass
class Case:
    """A small data set; `extra` vectors with labels are queries that are no rows."""

    vectors: list[list[int]]
    labels: list[list[int]]
    pattern: list[int]
    extra: list[list[int]]
    extra_labels: list[list[int]]
    threshold: float
    multi_label: bool

    @property
    def space(self) -> LabelSpace:
        return LabelSpace(tuple("abcd"), self.multi_label)

    @property
    def features(self) -> np.ndarray:
        return np.array(self.vectors, dtype=np.float32).reshape(-1, 3)

    @property
    def graph(self) -> HierarchyGraph:
        n = len(self.labels)
        return build_hierarchy(
            np.array(self.pattern),
            np.ones(n, dtype=np.float32),
            self.space.membership(self.labels),
            np.arange(n) * 2,
            dominance_threshold=self.threshold,
            n_positives=2,
            multi_label=self.multi_label,
        )

    def queries(self) -> tuple[list[list[float]], list[set[int]], list[int]]:
        """(vectors, labels, rows): every row, then the extra vectors."""
        n = len(self.labels)
        labels = [set(some) for some in self.labels + self.extra_labels]
        return self.vectors + self.extra, labels, [*range(n), *[-1] * len(self.extra)]

    def asked(self) -> tuple:
        vectors, labels, rows = self.queries()
        membership = self.space.membership([sorted(some) for some in labels])
        return self.graph, self.features, np.array(vectors, dtype=np.float32).reshape(-1, 3), membership, rows


@st.composite
def cases(draw: st.DrawFn) -> Case:
    n = draw(st.integers(1, 14))
    n_extra = draw(st.integers(0, 3))
    multi = draw(st.booleans())
    vector = st.lists(st.integers(-2, 2), min_size=3, max_size=3)
    top = draw(st.integers(0, N_CLASSES - 1))
    one = st.lists(st.integers(0, top), min_size=1, max_size=1)
    label = st.lists(st.integers(0, top), max_size=3, unique=True) if multi else one
    raw = draw(st.lists(st.integers(0, draw(st.integers(0, 4))), min_size=n, max_size=n))
    used = sorted(set(raw))
    return Case(
        vectors=draw(st.lists(vector, min_size=n, max_size=n)),
        labels=draw(st.lists(label, min_size=n, max_size=n)),
        pattern=[used.index(k) for k in raw],
        extra=draw(st.lists(vector, min_size=n_extra, max_size=n_extra)),
        extra_labels=draw(st.lists(label, min_size=n_extra, max_size=n_extra)),
        threshold=draw(st.sampled_from([0.0, 0.3, 0.6, 0.9])),
        multi_label=multi,
    )


# ------------------------------------------------------- the same with loops


def unit(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector] if length > 1e-12 else [0.0 for _ in vector]


def distance(a: list[float], b: list[float]) -> float:
    """Euclidean between unit vectors, equal where only rounding differs."""
    return round(math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True))), 7)


def members(case: Case, k: int) -> list[int]:
    return [r for r, p in enumerate(case.pattern) if p == k]


def dominators(case: Case, k: int) -> set[int]:
    rows = members(case, k)
    return {c for c in range(N_CLASSES) if sum(c in case.labels[r] for r in rows) / len(rows) > case.threshold}


def n_patterns(case: Case) -> int:
    return max(case.pattern) + 1


def mean_of(case: Case, k: int) -> list[float]:
    rows = members(case, k)
    return unit([sum(unit(case.vectors[r])[d] for r in rows) / len(rows) for d in range(3)])


def loop_positive_pattern(case: Case, c: int) -> int:
    best, best_n = -1, 0
    for k in range(n_patterns(case)):
        n = sum(c in case.labels[r] for r in members(case, k))
        if c in dominators(case, k) and n > best_n:
            best, best_n = k, n
    if best < 0:
        fallback = np.flatnonzero(case.graph.role.toarray()[:, c] == ROLE_FALLBACK)
        best = int(fallback[0]) if len(fallback) else -1
    return best


def loop_class_members(case: Case, labels: set[int], row: int) -> list[int]:
    found = set()
    for c in labels:
        k = loop_positive_pattern(case, c)
        found |= {r for r in range(len(case.pattern)) if case.pattern[r] == k and c in case.labels[r]}
    return sorted(found - {row})


def loop_far(case: Case, vector: list[float], labels: set[int], row: int) -> list[int]:
    rows = loop_class_members(case, labels, row)
    return sorted(rows, key=lambda r: (-distance(unit(vector), unit(case.vectors[r])), r))


def loop_near(case: Case, vector: list[float], labels: set[int], row: int, rows: list[int]) -> list[int]:
    others = [r for r in rows if r != row and not labels & set(case.labels[r])]
    return sorted(others, key=lambda r: (distance(unit(vector), unit(case.vectors[r])), r))


def loop_nearest_patterns(case: Case, vector: list[float]) -> list[int]:
    return sorted(range(n_patterns(case)), key=lambda k: (distance(unit(vector), mean_of(case, k)), k))


def loop_same_then_nearest(
    case: Case, vector: list[float], labels: set[int], row: int, m: int, pool: int
) -> list[tuple[int, int]]:
    order = loop_nearest_patterns(case, vector)
    own = case.pattern[row] if row >= 0 else order[0]
    found = [(r, 1) for r in loop_near(case, vector, labels, row, members(case, own))[: max(pool, m)]]
    rest = [k for k in order if k != own]
    for k in [k for k in rest if dominators(case, k) - labels] + [k for k in rest if not dominators(case, k) - labels]:
        for r in loop_near(case, vector, labels, row, members(case, k)):
            if len(found) < m:
                found.append((r, 0))
    return found


def loop_nearest_dominated(case: Case, vector: list[float], labels: set[int], row: int, m: int) -> list[int]:
    for k in loop_nearest_patterns(case, vector):
        if dominators(case, k) - labels:
            rows = [r for r in members(case, k) if dominators(case, k) & set(case.labels[r])]
            found = loop_near(case, vector, labels, row, rows)[:m]
            if found:
                return found
    return []


# ---------------------------------------------------------------- positives


@given(cases())
def test_positive_patterns(case: Case) -> None:
    assert largest_dominated_pattern(case.graph).tolist() == [loop_positive_pattern(case, c) for c in range(N_CLASSES)]


@given(cases(), st.integers(1, 4), st.integers(1, 6))
def test_dominant_far_is_equation_5(case: Case, n: int, pool: int) -> None:
    found = positive_candidates(*case.asked(), "dominant_far", n, pool)
    for q, (vector, labels, row) in enumerate(zip(*case.queries(), strict=True)):
        assert found.of(q).tolist() == loop_far(case, vector, labels, row)[:n]


@given(cases(), st.integers(1, 3), st.integers(1, 4))
def test_dominant_far_half(case: Case, n: int, pool: int) -> None:
    found = positive_candidates(*case.asked(), "dominant_far_half", n, pool)
    for q, (vector, labels, row) in enumerate(zip(*case.queries(), strict=True)):
        far = loop_far(case, vector, labels, row)
        half = far[: math.ceil(len(far) / 2)]
        got = found.of(q).tolist()
        assert len(got) == min(len(half), max(n, pool))
        assert got == [r for r in half if r in got]  # a subset, farthest first


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
    means = pattern_means(case.graph, case.features)
    for k in range(n_patterns(case)):
        assert means[k] == pytest.approx(mean_of(case, k), abs=1e-9)
    found = nearest_patterns(case.graph, case.features, case.features)
    assert found.tolist() == [loop_nearest_patterns(case, vector)[0] for vector in case.vectors]


@settings(max_examples=200)
@given(cases(), st.integers(1, 5), st.integers(1, 6))
def test_same_then_nearest(case: Case, m: int, pool: int) -> None:
    found = negative_candidates(*case.asked(), "same_then_nearest", m, pool)
    for q, (vector, labels, row) in enumerate(zip(*case.queries(), strict=True)):
        got = list(
            zip(found.of(q).tolist(), found.priority[found.indptr[q] : found.indptr[q + 1]].tolist(), strict=True)
        )
        assert got == loop_same_then_nearest(case, vector, labels, row, m, pool)
        others = [r for r in range(len(case.labels)) if r != row and not labels & set(case.labels[r])]
        assert len(got) >= min(m, len(others))  # empty only when there is no other class


@settings(max_examples=200)
@given(cases(), st.integers(1, 5), st.integers(1, 6))
def test_nearest_dominated_is_equation_6(case: Case, m: int, pool: int) -> None:
    found = negative_candidates(*case.asked(), "nearest_dominated", m, pool)
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
