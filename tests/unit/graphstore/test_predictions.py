"""A model's answers as rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphstore.predictions import confused, predicted

RUN = "d@00000000:aaaaaaaaaaaaaaaa"
D = "d@00000000"


def test_the_most_probable_classes_with_ties_to_the_lower_index() -> None:
    answers = np.array([[0.25, 0.5, 0.25], [0.5, 0.5, 0], [0, 0.25, 0.75]], np.float32)
    table = predicted(RUN, ["x", None, "z"], answers, 2)
    assert table.to_pylist() == [
        {"from": "x", "to": f"{D}#1", "probability": 0.5, "rank": 1},
        {"from": "x", "to": f"{D}#0", "probability": 0.25, "rank": 2},
        {"from": "z", "to": f"{D}#2", "probability": 0.75, "rank": 1},
        {"from": "z", "to": f"{D}#1", "probability": 0.25, "rank": 2},
    ]
    assert predicted(RUN, ["y"], answers[1:2])["to"].to_pylist() == [f"{D}#0"]
    assert predicted(RUN, ["y"], answers[1:2], 5).num_rows == 3, "as many as there are classes"
    assert predicted(RUN, [None] * 3, answers).num_rows == 0
    for k in (0, 6):
        with pytest.raises(ValueError, match=r"expected 1\.\.5"):
            predicted(RUN, ["y"], answers[1:2], k)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=40))
def test_confusions_by_a_plain_loop(pairs: list[tuple[int, int]]) -> None:
    labels, answers = np.array(pairs, np.int64).reshape(-1, 2).T
    expected = []
    for a in range(6):
        of_class = sum(label == a for label, _ in pairs)
        for b in range(6):
            n = pairs.count((a, b))
            if n and a != b:
                expected.append({"from": f"{D}#{a}", "to": f"{D}#{b}", "n": n, "share": n / of_class})
    assert confused(RUN, labels, answers).to_pylist() == expected
