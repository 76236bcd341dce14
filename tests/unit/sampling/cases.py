"""Small hierarchies full of ties, and the paper's sentences about them written as plain loops."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.graph import ROLE_FALLBACK, HierarchyGraph
from csrms_dist.labels import LabelSpace

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
    distance: str = "cosine"

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

    def prepared(self, vector: list[float]) -> list[float]:
        return unit(vector) if self.distance == "cosine" else vector


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
        distance=draw(st.sampled_from(["cosine", "euclidean"])),
    )


# ------------------------------------------------------- the same with loops


def unit(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector] if length > 1e-12 else [0.0 for _ in vector]


def distance(a: list[float], b: list[float]) -> float:
    """Euclidean, equal where only rounding differs."""
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
    return case.prepared([sum(case.prepared(case.vectors[r])[d] for r in rows) / len(rows) for d in range(3)])


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


def loop_far(case: Case, vector: list[float], rows: list[int]) -> list[int]:
    return sorted(rows, key=lambda r: (-distance(case.prepared(vector), case.prepared(case.vectors[r])), r))


def loop_relatives(case: Case, labels: set[int], row: int) -> list[int]:
    return [r for r in range(len(case.labels)) if r != row and labels & set(case.labels[r])]


def loop_strangers(case: Case, labels: set[int], row: int) -> list[int]:
    return [r for r in range(len(case.labels)) if r != row and not labels & set(case.labels[r])]


def loop_near(case: Case, vector: list[float], labels: set[int], row: int, rows: list[int]) -> list[int]:
    others = [r for r in rows if r != row and not labels & set(case.labels[r])]
    return sorted(others, key=lambda r: (distance(case.prepared(vector), case.prepared(case.vectors[r])), r))


def loop_nearest_patterns(case: Case, vector: list[float]) -> list[int]:
    return sorted(range(n_patterns(case)), key=lambda k: (distance(case.prepared(vector), mean_of(case, k)), k))


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
