"""The digits: every image once, a fifth of each class for the test, enlarged without a new grey value."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits

from csrms_dist.datasets.image_source import TEST, VAL
from csrms_dist.datasets.layouts.digits import digits
from csrms_dist.labels import single_labels


@pytest.mark.parametrize("fraction", [0.0, 0.1])
def test_every_digit_is_in_one_split(fraction: float) -> None:
    train, test = digits(fraction)
    bunch = load_digits()
    assert sorted([*train.ids.to_pylist(), *test.ids.to_pylist()]) == [
        f"digit-{n:04d}" for n in range(len(bunch.images))
    ]
    assert set(test.split) == {TEST}
    held = [label for label, split in zip(single_labels(train.membership), train.split, strict=True) if split == VAL]
    for k, total in Counter(bunch.target.tolist()).items():
        in_test = int((single_labels(test.membership) == k).sum())
        assert in_test == round(0.2 * total)
        assert held.count(k) == round(fraction * (total - in_test))


def test_each_pixel_becomes_four_by_four() -> None:
    train, _ = digits(0.1)
    bunch = load_digits()
    images = list(train.images)
    for place in (0, 100, len(train.ids) - 1):
        number = int(train.ids[place].as_py().removeprefix("digit-"))
        image = np.asarray(images[place])
        assert image.shape == (32, 32, 3)
        assert single_labels(train.membership)[place] == bunch.target[number]
        for y, x, c in [(0, 0, 0), (13, 17, 1), (31, 31, 2), (18, 9, 0)]:
            assert image[y, x, c] == round(bunch.images[number, y // 4, x // 4] * 255 / 16)


def test_the_test_set_does_not_depend_on_the_held_out_share() -> None:
    assert digits(0.0)[1].ids.equals(digits(0.3)[1].ids)
