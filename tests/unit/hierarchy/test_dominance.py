"""Dominance against plain loops, on random hierarchies of one label and of several."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.hierarchy.build import hierarchy_of
from csrms_dist.hierarchy.dominance import (
    class_group,
    dominated_by_other,
    dominators,
    fallback_classes,
    largest_dominated_pattern,
)
from csrms_dist.hierarchy.graph import ROLE_FALLBACK


def fallback(case: Any, j: int) -> int:
    """The fallback pattern of a class, -1 for none."""
    return next((k for k in range(case.graph.n_patterns) if case.graph.role[k, j] == ROLE_FALLBACK), -1)


def largest(case: Any, j: int) -> int:
    """The pattern that a class dominates with most members, else its fallback pattern, else -1."""
    dominated = [k for k in range(case.graph.n_patterns) if case.count(k, j) and case.dominates(k, j)]
    return max(dominated, key=lambda k: (case.count(k, j), -k)) if dominated else fallback(case, j)


@given(data=st.data())
def test_the_largest_pattern_of_a_class(hierarchies: Any, data: st.DataObject) -> None:
    case = data.draw(hierarchies)
    found = largest_dominated_pattern(case.graph)
    assert found.dtype == np.int64
    assert found.tolist() == [largest(case, j) for j in range(case.n_classes)]
    absent = [j for j in range(case.n_classes) if not any(j in row for row in case.labels)]
    assert np.flatnonzero(found < 0).tolist() == absent


@given(data=st.data())
def test_the_classes_that_fall_back(hierarchies: Any, data: st.DataObject) -> None:
    case = data.draw(hierarchies)
    expected = [j for j in range(case.n_classes) if fallback(case, j) >= 0]
    assert fallback_classes(case.graph).tolist() == expected
    for j in expected:
        assert not any(case.dominates(k, j) for k in range(case.graph.n_patterns))


@given(data=st.data())
def test_the_class_of_each_row_s_pattern(hierarchies: Any, data: st.DataObject) -> None:
    case = data.draw(hierarchies)
    owner = []
    for k in range(case.graph.n_patterns):
        having = [
            j for j in range(case.n_classes) if (case.count(k, j) and case.dominates(k, j)) or fallback(case, j) == k
        ]
        owner.append(max(having, key=lambda j: (case.count(k, j), -j)) if having else -1)
    assert class_group(case.graph).tolist() == [owner[k] for k in case.pattern]


@given(data=st.data())
def test_the_dominators_of_a_pattern(hierarchies: Any, data: st.DataObject) -> None:
    case = data.draw(hierarchies)
    patterns, classes = range(case.graph.n_patterns), range(case.n_classes)
    whole = [[bool(case.count(k, j)) and case.dominates(k, j) for j in classes] for k in patterns]
    matrix = dominators(case.graph)
    assert matrix.toarray().tolist() == [[int(value) for value in row] for row in whole]
    assert matrix.data.tolist() == [1] * sum(map(sum, whole))
    expected = [[any(whole[k][j] and j not in own for j in classes) for k in patterns] for own in case.labels]
    assert dominated_by_other(matrix, case.graph.membership).tolist() == expected


def test_a_class_in_no_pattern_has_none() -> None:
    """Class 1 is a minority of pattern 0, which class 0 dominates; class 2 has no row."""
    graph = hierarchy_of([0] * 10 + [1] * 4, [0] * 7 + [1] * 3 + [3] * 4)
    assert largest_dominated_pattern(graph).tolist() == [0, 0, -1, 1]
    assert fallback_classes(graph).tolist() == [1]
    assert class_group(graph).tolist() == [0] * 10 + [3] * 4
