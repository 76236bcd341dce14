from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from csrms_dist.errors import DataError
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.graph import ROLE_DOMINATES, ROLE_FALLBACK, ROLE_NONE, HierarchyGraph
from csrms_dist.hierarchy.pattern_counts import pattern_shares, top_shares


@given(data=st.data())
def test_counts_shares_and_dominance_equal_plain_loops(hierarchies: Any, data: st.DataObject) -> None:
    case = data.draw(hierarchies)
    graph = case.graph
    shares = pattern_shares(graph.counts, graph.sizes).toarray()
    for k in range(graph.n_patterns):
        assert graph.sizes[k] == case.size(k)
        assert graph.members(k).tolist() == [n for n, p in enumerate(case.pattern) if p == k]
        assert graph.dominated[k] == case.dominated(k)
        assert top_shares(graph.counts, graph.sizes)[k] == max(
            case.count(k, j) / case.size(k) for j in range(case.n_classes)
        )
        for j in range(case.n_classes):
            assert graph.counts.toarray()[k, j] == case.count(k, j)
            assert shares[k, j] == case.count(k, j) / case.size(k)
    for n, (k, labels) in enumerate(zip(case.pattern, case.labels, strict=True)):
        best = max((case.count(k, j) / case.size(k) for j in labels), default=0.0)
        assert graph.difficulty[n] == np.float32(1 - best)
    assert graph.counts.data.min(initial=1) >= 1
    assert graph.role.indices.tolist() == graph.counts.indices.tolist()


@given(data=st.data())
def test_roles_equal_plain_loops(hierarchies: Any, data: st.DataObject) -> None:
    case = data.draw(hierarchies)
    patterns = range(case.graph.n_patterns)
    for j in range(case.n_classes):
        expected = {k: ROLE_DOMINATES for k in patterns if case.count(k, j) and case.dominates(k, j)}
        holding = [k for k in patterns if case.count(k, j)]
        if not expected and holding:
            enough = [k for k in holding if case.count(k, j) >= max(case.n_positives, 5)]
            if enough:
                best = max(enough, key=lambda k: (case.count(k, j) / case.size(k), -k))
            else:
                best = max(holding, key=lambda k: (case.count(k, j), -k))
            expected = {best: ROLE_FALLBACK}
        column = case.graph.role.toarray()[:, j]
        assert column.tolist() == [expected.get(k, ROLE_NONE) for k in patterns]


def one_hot(labels: list[int], n_classes: int = 3) -> Any:
    return sparse.csr_array(np.eye(n_classes, dtype=np.uint8)[labels])


def build(**changes: Any) -> HierarchyGraph:
    parts: dict[str, Any] = {
        "pattern": [0, 1, 0, 1],
        "score": [0.5, 0.25, 1.0, -1.0],
        "membership": one_hot([0, 1, 0, 2]),
        "instance": [3, 5, 6, 9],
        "dominance_threshold": 0.6,
        "n_positives": 10,
        "multi_label": False,
    }
    return build_hierarchy(**(parts | changes))


def test_dtypes_are_those_of_the_contract() -> None:
    graph = build()
    assert [a.dtype.name for a in (graph.instance, graph.pattern, graph.score, graph.difficulty, graph.dominated)] == [
        "int64", "int32", "float32", "float32", "bool",
    ]  # fmt: skip
    assert [m.data.dtype.name for m in (graph.membership, graph.counts, graph.role)] == ["uint8", "int64", "int8"]
    assert (graph.n_rows, graph.n_patterns, graph.n_classes) == (4, 2, 3)


def test_a_share_equal_to_the_threshold_does_not_dominate() -> None:
    pattern, labels = [0] * 5, [0, 0, 0, 1, 2]
    graph = build(pattern=pattern, score=[0.0] * 5, membership=one_hot(labels), instance=range(5))
    assert not graph.dominated[0]
    assert build(
        pattern=pattern, score=[0.0] * 5, membership=one_hot(labels), instance=range(5), dominance_threshold=0.59
    ).dominated[0]


def test_several_classes_can_dominate_a_multi_label_pattern() -> None:
    graph = build(membership=sparse.csr_array(np.array([[1, 1, 0]] * 4, np.uint8)), multi_label=True)
    assert graph.role.toarray().tolist() == [[1, 1, 0], [1, 1, 0]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"score": [0.5]}, "rows of score: got 1, expected 4"),
        ({"instance": [1, 2, 3]}, "rows of instance"),
        ({"membership": one_hot([0])}, "rows of membership"),
        ({"pattern": []}, "N at least 1"),
        ({"pattern": [0.0, 1.0, 0.0, 1.0]}, "whole numbers"),
        ({"pattern": [0, -1, 0, 1]}, "got -1"),
        ({"pattern": [0, 2, 0, 2]}, "pattern 1: got no rows"),
        ({"pattern": [0, 1, 0, 99]}, "got 99"),
        ({"instance": [3, 5, 5, 9]}, "strictly ascending"),
        ({"instance": [-1, 5, 6, 9]}, "0 or more"),
        ({"score": [0.5, float("nan"), 0, 0]}, "finite"),
        ({"membership": sparse.csr_array(np.ones((4, 2), np.uint8))}, "labels of row 0: got 2, expected one label"),
        ({"membership": sparse.csr_array(np.full((4, 1), 2, np.uint8))}, "other than 1"),
        ({"dominance_threshold": 1.0}, r"in \[0, 1\)"),
    ],
)
def test_bad_input_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        build(**changes)


def test_counts_do_not_overflow_the_membership_type() -> None:
    graph = build(pattern=[0] * 300, score=[0.0] * 300, membership=one_hot([1] * 300), instance=range(300))
    assert graph.counts.toarray().tolist() == [[0, 300, 0]]
