"""Small random hierarchies, as a Hypothesis strategy that tests draw from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import strategies as st

from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import LabelSpace


@dataclass(frozen=True)
class Case:
    """A hierarchy, and for plain-loop oracles the lists that it was built from."""

    pattern: list[int]
    labels: list[list[int]]
    n_classes: int
    threshold: float
    n_positives: int
    graph: HierarchyGraph

    def count(self, k: int, j: int) -> int:
        return sum(1 for p, row in zip(self.pattern, self.labels, strict=True) if p == k and j in row)

    def size(self, k: int) -> int:
        return sum(1 for p in self.pattern if p == k)

    def dominates(self, k: int, j: int) -> bool:
        return self.count(k, j) / self.size(k) > self.threshold

    def dominated(self, k: int) -> bool:
        return any(self.dominates(k, j) for j in range(self.n_classes))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    multi_label = draw(st.booleans())
    n_classes = draw(st.integers(1, 5))
    raw = draw(st.lists(st.integers(0, 4), min_size=1, max_size=40))
    names = sorted(set(raw))
    pattern = [names.index(p) for p in raw]
    one = st.integers(0, n_classes - 1)
    row = st.lists(one, max_size=3, unique=True).map(sorted) if multi_label else one.map(lambda j: [j])
    labels = draw(st.lists(row, min_size=len(pattern), max_size=len(pattern)))
    threshold = draw(st.sampled_from([0.0, 0.3, 0.5, 0.6, 0.9]))
    n_positives = draw(st.integers(1, 8))
    seed = draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    graph = build_hierarchy(
        np.array(pattern),
        rng.uniform(-1, 1, len(pattern)),
        LabelSpace(tuple(map(str, range(n_classes))), multi_label).membership(labels),
        np.cumsum(rng.integers(1, 9, len(pattern))),
        dominance_threshold=threshold,
        n_positives=n_positives,
        multi_label=multi_label,
    )
    return Case(pattern, labels, n_classes, threshold, n_positives, graph)


@pytest.fixture(scope="session")
def hierarchies() -> st.SearchStrategy[Case]:
    return cases()
