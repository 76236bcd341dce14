from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.hierarchy.renumbering import keep_numbers


def dense(labels: list[int]) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1].astype(np.int32)


ROWS = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 6), min_size=n, max_size=n).map(dense)] * 2)
)


@given(ROWS)
def test_a_pattern_keeps_its_number_where_its_members_stay(both: tuple[np.ndarray, np.ndarray]) -> None:
    before, after = both
    found = keep_numbers(before, after)
    n_after = int(after.max()) + 1
    assert sorted(found.number.tolist()) == list(range(n_after))
    for j in range(n_after):
        members = set(np.flatnonzero(after == j).tolist())
        same = [
            i
            for i in range(int(before.max()) + 1)
            if 2 * len(members & (old := set(np.flatnonzero(before == i).tolist()))) > len(members | old)
        ]
        assert len(same) <= 1
        stays = bool(same) and same[0] < n_after
        if stays:
            assert found.number[j] == same[0]
        assert bool(found.kept[found.number[j]]) is stays


@given(ROWS)
def test_the_same_patterns_keep_all_numbers(both: tuple[np.ndarray, np.ndarray]) -> None:
    before, _ = both
    found = keep_numbers(before, before)
    assert found.number.tolist() == list(range(int(before.max()) + 1))
    assert found.kept.all()
