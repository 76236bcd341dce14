from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.difficulty import EASY, HARD, MEDIUM, difficulty_levels


@given(data=st.data(), rho_1=st.sampled_from([0.5, 0.6, 0.8, 0.9]))
def test_eq_7_equals_plain_loops(hierarchies: Any, data: st.DataObject, rho_1: float) -> None:
    case = data.draw(hierarchies)
    own, expected = [], []
    for k, labels in zip(case.pattern, case.labels, strict=True):
        share = [case.count(k, j) / case.size(k) for j in range(case.n_classes)]
        own.append(max((share[j] for j in labels), default=0.0))
        others = max((share[j] for j in range(case.n_classes) if j not in labels), default=0.0)
        expected.append(EASY if own[-1] >= rho_1 else HARD if others >= rho_1 else MEDIUM)
    n = len(own)
    terciles = expected.count(EASY) < 0.05 * n
    if terciles:
        middle = [sum(o < x for o in own) + sum(o == x for o in own) / 2 for x in own]
        expected = [EASY if m * 3 >= 2 * n else HARD if m * 3 < n else MEDIUM for m in middle]
    levels = difficulty_levels(case.graph, rho_1)
    assert levels.terciles == terciles
    assert levels.level.tolist() == expected
    assert levels.level.dtype == np.int8
    assert levels.shares == pytest.approx([expected.count(level) / n for level in (EASY, MEDIUM, HARD)])


@given(data=st.data(), rho_1=st.sampled_from([0.5, 0.8]))
def test_the_other_rules_equal_plain_loops(hierarchies: Any, data: st.DataObject, rho_1: float) -> None:
    case = data.draw(hierarchies)
    own = [
        max((case.count(k, j) / case.size(k) for j in labels), default=0.0)
        for k, labels in zip(case.pattern, case.labels, strict=True)
    ]
    middle = [sum(o < x for o in own) + sum(o == x for o in own) / 2 for x in own]
    terciles = [EASY if m * 3 >= 2 * len(own) else HARD if m * 3 < len(own) else MEDIUM for m in middle]
    assert difficulty_levels(case.graph, rho_1, "terciles").level.tolist() == terciles
    released = [EASY if share >= rho_1 else HARD if share <= 1 - rho_1 else MEDIUM for share in own]
    assert difficulty_levels(case.graph, rho_1, "released").level.tolist() == released


def test_a_share_equal_to_the_threshold_is_easy() -> None:
    labels = sparse.csr_array(np.eye(2, dtype=np.uint8)[[0] * 9 + [1]])
    graph = build_hierarchy(
        [0] * 10, np.zeros(10), labels, np.arange(10), dominance_threshold=0.6, n_positives=1, multi_label=False
    )
    assert difficulty_levels(graph, 0.9).level.tolist() == [EASY] * 9 + [HARD]
    assert difficulty_levels(graph, 0.9).shares == (0.9, 0.0, 0.1)
