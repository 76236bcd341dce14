"""Pairs of digits: both halves are digits of the same side, labels the set of both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from csrms_dist.datasets.image_source import TEST, VAL
from csrms_dist.datasets.layouts.choose import open_layout
from csrms_dist.datasets.layouts.digit_pairs import partners
from csrms_dist.datasets.layouts.digits import digits
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.labels import label_lists


@pytest.mark.parametrize("side", ["train", "test"])
def test_each_pair_is_two_digits_of_one_side(side: str) -> None:
    layout = open_layout(DataSettings(dataset="digit_pairs"))
    source = layout.train if side == "train" else layout.test
    own = digits(0.1)[0 if side == "train" else 1]
    members = {int(name.removeprefix("digit-")) for name in own.ids.to_pylist()}
    bunch = load_digits()
    lefts = []
    for name, labels, image in zip(
        source.ids.to_pylist(), label_lists(source.membership), source.images, strict=True
    ):  # fmt: skip
        word, *numbers = name.split("-")
        left, right = map(int, numbers)
        assert (word, left != right) == ("pair", True)
        assert {left, right} <= members
        assert labels == sorted({int(bunch.target[left]), int(bunch.target[right])})
        expected = np.zeros((32, 32, 3), np.uint8)
        for column, number in ((0, left), (16, right)):
            grey = np.rint(bunch.images[number] * 255 / 16)
            for y in range(16):
                expected[8 + y, column : column + 16] = grey[y // 2].repeat(2)[:, None]
        assert np.array_equal(np.asarray(image), expected)
        lefts.append(left)
    assert sorted(lefts) == sorted(members)
    assert set(source.split.tolist()) == ({0, VAL} if side == "train" else {TEST})


def test_it_has_several_labels_and_all_classes() -> None:
    layout = open_layout(DataSettings(dataset="digit_pairs"))
    assert (layout.name, layout.label_space.multi_label, layout.test_only) == ("digit_pairs", True, ())
    counts = np.diff(layout.train.membership.indptr)
    assert set(counts.tolist()) == {1, 2}
    assert 0.8 < (counts == 2).mean() < 0.97


@given(st.integers(2, 50))
def test_nobody_is_their_own_partner(n: int) -> None:
    found = partners([f"digit-{k:04d}" for k in range(n)])
    assert ((found >= 0) & (found < n) & (found != np.arange(n))).all()
