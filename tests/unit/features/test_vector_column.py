"""The column `vector`: which types hold vectors, and the first row that does not fit."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.basics.arrow import is_list
from csrms_dist.features.vector_column import first_misfit, holds_numbers

LISTS = [pa.list_, pa.large_list, lambda kind: pa.list_(kind, 2)]


@pytest.mark.parametrize("wrap", LISTS)
def test_lists_of_numbers_are_vectors(wrap: object) -> None:
    assert callable(wrap)
    assert all(holds_numbers(wrap(kind)) for kind in (pa.uint8(), pa.int64(), pa.float16(), pa.float64()))
    others = [wrap(kind) for kind in (pa.string(), pa.bool_(), pa.null(), pa.list_(pa.int64()))]
    assert all(is_list(kind) and not holds_numbers(kind) for kind in others)


def test_what_is_no_list_holds_no_vectors() -> None:
    assert not any(is_list(kind) or holds_numbers(kind) for kind in (pa.float32(), pa.binary(), pa.struct([])))


@given(st.lists(st.none() | st.lists(st.integers(0, 9), max_size=3), max_size=6), st.integers(0, 3), st.integers(0, 2))
def test_the_first_row_that_does_not_fit(rows: list[list[int] | None], width: int, start: int) -> None:
    rows = [[7], *rows]
    expected = next(((n, None) for n, row in enumerate(rows[start:]) if row is None), None) or next(
        ((n, len(row)) for n, row in enumerate(rows[start:]) if row is not None and len(row) != width), None
    )
    for kind in (pa.list_(pa.int64()), pa.large_list(pa.int64())):
        assert first_misfit(pa.array(rows, kind).slice(start), width) == expected
