"""Who is held out: the smallest hashes of each class, whatever the order and whoever else is there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.basics.hashing import hash_ids
from csrms_dist.datasets.splits import held_out
from csrms_dist.labels import LabelSpace

K = 3
SPACE, TAGS = LabelSpace(tuple("abc")), LabelSpace(tuple("abc"), multi_label=True)
labels_of = st.lists(st.integers(0, K - 1), min_size=1, max_size=60)


def names(n: int) -> list[str]:
    return [f"image/{i}" for i in range(n)]


def chosen(ids: list[str], labels: list[int], fraction: float, purpose: str = "val") -> set[str]:
    mask = held_out(ids, SPACE.membership(labels), fraction, purpose, multi_label=False)
    return {i for i, out in zip(ids, mask, strict=True) if out}


@given(labels_of, st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]))
def test_the_smallest_hashes_of_each_class_and_one_stays(labels: list[int], fraction: float) -> None:
    ids = names(len(labels))
    found = chosen(ids, labels, fraction)
    for k in range(K):
        members = [i for i, label in zip(ids, labels, strict=True) if label == k]
        ordered = sorted(members, key=lambda i: (int(hash_ids([i], "val")[0]), i.encode()))
        quota = min(round(fraction * len(members)), max(len(members) - 1, 0))
        assert found & set(members) == set(ordered[:quota])


@given(labels_of, st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(labels: list[int], random: object) -> None:
    ids = names(len(labels))
    order = list(range(len(ids)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert chosen(ids, labels, 0.3) == chosen([ids[i] for i in order], [labels[i] for i in order], 0.3)


@given(labels_of, st.integers(0, K - 1), st.integers(1, 20), st.sampled_from([0.1, 0.2, 0.5]))
def test_adding_images_moves_no_other_class_and_few_of_its_own(
    labels: list[int], grown: int, added: int, fraction: float
) -> None:
    ids = names(len(labels))
    new = [f"new/{i}" for i in range(added)]
    before = chosen(ids, labels, fraction)
    after = chosen([*ids, *new], [*labels, *[grown] * added], fraction) - set(new)
    label = dict(zip(ids, labels, strict=True))
    assert {label[i] for i in before ^ after} <= {grown}
    # Those that move are the ones next to the cut, all in one direction.
    assert len(before ^ after) <= added
    assert before <= after or after <= before


@given(st.lists(st.lists(st.integers(0, K - 1), unique=True), min_size=1, max_size=40))
def test_with_several_labels_the_hash_decides_overall(labels: list[list[int]]) -> None:
    ids = names(len(labels))
    mask = held_out(ids, TAGS.membership(labels), 0.25, "val", multi_label=True)
    ordered = sorted(ids, key=lambda i: int(hash_ids([i], "val")[0]))
    quota = min(round(0.25 * len(ids)), len(ids) - 1)
    assert {i for i, out in zip(ids, mask, strict=True) if out} == set(ordered[:quota])


def test_test_and_val_are_drawn_apart() -> None:
    ids, labels = names(400), [0] * 400
    test, val = chosen(ids, labels, 0.5, "test"), chosen(ids, labels, 0.5, "val")
    assert len(test) == len(val) == 200
    assert 60 < len(test & val) < 140


@pytest.mark.parametrize("labels", [[0], [0, 1, 2]])
def test_a_class_of_one_image_is_never_held_out(labels: list[int]) -> None:
    assert chosen(names(len(labels)), labels, 1.0) == set()
    assert not held_out([], SPACE.membership([]), 0.5, "val", multi_label=False).any()
    assert held_out(names(1), SPACE.membership([0]), 0.5, "val", False).dtype == np.bool_
