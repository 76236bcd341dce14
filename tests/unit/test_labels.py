"""Single or multi label becomes one thing: membership (N, K), canonical, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.errors import DataError
from csrms_dist.labels import LabelSpace, label_lists, membership_from_csr, single_labels

K = 7
SPACE = LabelSpace(tuple("abcdefg"))
MULTI = LabelSpace(tuple("abcdefg"), multi_label=True)
CLASS = st.integers(0, K - 1)


def dense(rows: list[list[int]]) -> list[list[int]]:
    table = [[0] * K for _ in rows]
    for n, row in enumerate(rows):
        for k in row:
            table[n][k] = 1
    return table


@given(st.lists(CLASS))
def test_single_labels_become_one_hot_and_come_back(labels: list[int]) -> None:
    membership = SPACE.membership(labels)
    assert membership.shape == (len(labels), K)
    assert membership.dtype == np.uint8
    assert membership.toarray().tolist() == dense([[k] for k in labels])
    assert single_labels(membership).tolist() == labels
    assert single_labels(membership).dtype == np.int64
    assert label_lists(membership) == [[k] for k in labels]


@given(st.lists(st.lists(CLASS, max_size=400)))
def test_label_lists_become_membership_and_come_back_sorted_without_repeats(rows: list[list[int]]) -> None:
    membership = MULTI.membership(rows)
    assert membership.toarray().tolist() == dense(rows)
    assert membership.has_canonical_format
    assert (membership.data == 1).all()
    assert label_lists(membership) == [sorted(set(row)) for row in rows]


def test_256_repeats_do_not_wrap_to_zero() -> None:
    membership = MULTI.membership([[3] * 256, [2] * 512])
    assert label_lists(membership) == [[3], [2]]
    assert membership.data.tolist() == [1, 1]


def test_the_caller_s_arrays_stay_as_they_are() -> None:
    indptr, indices = np.array([0, 3, 4], np.int64), np.array([5, 1, 5, 0], np.int32)
    for array in (indptr, indices):
        array.setflags(write=False)
    assert label_lists(membership_from_csr(indptr, indices, K)) == [[1, 5], [0]]
    assert indices.tolist() == [5, 1, 5, 0]


@pytest.mark.parametrize("kind", [int, np.int64, np.uint8, np.array])
def test_whole_numbers_of_any_kind_are_labels(kind: type) -> None:
    assert single_labels(SPACE.membership([kind(3), kind(0)])).tolist() == [3, 0]
    assert label_lists(MULTI.membership([[kind(3), kind(0)], np.array([4])])) == [[0, 3], [4]]


def test_an_array_of_labels_is_a_list_of_labels() -> None:
    assert single_labels(SPACE.membership(np.array([3, 0, 6]))).tolist() == [3, 0, 6]
    assert label_lists(MULTI.membership(np.array([[3, 0], [6, 6]]))) == [[0, 3], [6]]


def test_nothing_is_a_legal_set_of_labels_when_there_may_be_several() -> None:
    assert label_lists(MULTI.membership([[], [1], []])) == [[], [1], []]
    assert label_lists(MULTI.membership([])) == []
    assert single_labels(SPACE.membership([])).tolist() == []


@pytest.mark.parametrize("bad", [-1, K, 10**12])
@pytest.mark.parametrize("space", [SPACE, MULTI])
def test_a_label_outside_the_classes_names_the_instance(bad: int, space: LabelSpace) -> None:
    with pytest.raises(DataError, match=rf"label of img-2: got {bad}, expected a class index in 0\.\.6; .+"):
        space.membership([[0], [1], [bad]], ids=["img-0", "img-1", "img-2"])
    with pytest.raises(DataError, match=rf"label of row 1: got {bad}"):
        space.membership([0, bad])


@pytest.mark.parametrize("bad", [1.5, 1.0, "3", "cat", np.float64(1), [1.5], ["a"], [None]])
def test_what_is_no_whole_number_is_no_label(bad: object) -> None:
    for space in (SPACE, MULTI):
        with pytest.raises(DataError, match=r"label of b: got .*, expected a class index, a whole number, or a list"):
            space.membership([0, bad], ids=["a", "b"])  # type: ignore[list-item]


@pytest.mark.parametrize("bad", [[], [0, 1], [2, 2]])
def test_single_label_means_exactly_one(bad: list[int]) -> None:
    with pytest.raises(DataError, match=rf"labels of b: got {len(bad)} labels, expected one label"):
        SPACE.membership([[0], bad], ids=["a", "b"])


@pytest.mark.parametrize("rows", [[[0], []], [[0, 1]], [[0, 1], []]])
def test_single_labels_refuses_a_multi_label_membership(rows: list[list[int]]) -> None:
    with pytest.raises(DataError, match="expected single-label data"):
        single_labels(MULTI.membership(rows))


@given(st.lists(st.lists(CLASS), min_size=1), st.data())
def test_a_split_of_the_rows_is_a_split_of_the_membership(rows: list[list[int]], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    whole = MULTI.membership(rows).toarray()
    assert np.array_equal(
        whole, np.concatenate([MULTI.membership(rows[:cut]).toarray(), MULTI.membership(rows[cut:]).toarray()])
    )


def test_a_label_space_is_a_value() -> None:
    assert LabelSpace(("a", "b")) == LabelSpace(("a", "b"))
    assert LabelSpace(("a", "b")) != LabelSpace(("a", "b"), multi_label=True)
    assert hash(LabelSpace(("a",))) == hash(LabelSpace(("a",)))
    assert SPACE.n_classes == K


@pytest.mark.parametrize("space", [SPACE, MULTI, LabelSpace(())])
def test_an_instance_that_nobody_labelled_has_an_empty_row(space: LabelSpace) -> None:
    some = [3] if space.n_classes else []
    membership = space.membership([None, *some, None])
    assert membership.shape == (2 + len(some), space.n_classes)
    assert label_lists(membership) == [[], *([k] for k in some), []]
