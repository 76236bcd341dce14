from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.hierarchy.relations import r_id, r_is, r_mc


@given(data=st.data())
def test_eq_1_to_3_equal_plain_loops(hierarchies: Any, data: st.DataObject) -> None:
    case = data.draw(hierarchies)
    rows = range(len(case.pattern))
    dominated = [case.dominated(k) for k in range(case.graph.n_patterns)]
    for a in rows:
        expected: dict[str, list[int]] = {"id": [], "is": [], "mc": []}
        for b in rows:
            if a == b:
                continue
            shares = bool(set(case.labels[a]) & set(case.labels[b]))
            same = case.pattern[a] == case.pattern[b]
            if shares and not same and dominated[case.pattern[a]] and dominated[case.pattern[b]]:
                expected["id"].append(b)
            if not shares and same:
                expected["is" if dominated[case.pattern[a]] else "mc"].append(b)
        assert r_id(case.graph, a).tolist() == expected["id"]
        assert r_is(case.graph, a).tolist() == expected["is"]
        assert r_mc(case.graph, a).tolist() == expected["mc"]
