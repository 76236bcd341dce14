"""Rules that hold whatever the layout."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from csrms_dist.datasets.image_source import TRAIN, VAL
from csrms_dist.errors import DataError
from csrms_dist.labels import label_lists
from tests.unit.datasets import making
from tests.unit.datasets.opening import layout


def test_a_repeated_id_may_get_a_suffix() -> None:
    making.both({"id": ["a", "b", "a", "b", "a"], "label": [0, 1, 1, 0, 0]})
    found = layout("parquet", "images", on_duplicate_id="suffix")
    assert found.train.ids.to_pylist() == ["a", "b", "a#2", "b#2", "a#3"]
    assert label_lists(found.train.membership) == [[0], [1], [1], [0], [0]]
    making.both({"id": ["a", "a#2", "a"], "label": [0, 1, 1]})
    with pytest.raises(DataError, match="'a#2' beside what a suffix makes"):
        layout("parquet", "images", on_duplicate_id="suffix")
    making.both({"id": ["c", "c"]})
    with pytest.raises(DataError, match="'c' in train and in test"):
        layout("parquet", "images", on_duplicate_id="suffix")


def test_opening_decodes_nothing() -> None:
    making.both({"image": [b"no image", b""]})
    assert len(layout("parquet", "images").train) == 2


def test_a_share_of_the_training_images_is_the_same_of_each_class_and_lies_in_a_larger_one() -> None:
    whole, some, fewer = (layout("digits", "", max_train=most) for most in (0, 400, 3))
    counts = [np.bincount(found.train.membership[found.train.split == TRAIN].indices) for found in (whole, some, fewer)]
    assert abs(counts[1].sum() - 400) <= 5
    assert np.abs(counts[1] / counts[0] - 400 / counts[0].sum()).max() < 0.01
    assert counts[2].tolist() == [1] * 10  # of each class at least one
    ids = [
        set(found.train.ids.filter(pa.array(found.train.split == TRAIN)).to_pylist()) for found in (whole, some, fewer)
    ]
    assert ids[2] < ids[1] < ids[0]
    for found in (some, fewer):
        assert found.test.ids.equals(whole.test.ids)
        assert (found.train.split == VAL).sum() == (whole.train.split == VAL).sum()
    assert some.notes == (f"digits: {counts[1].sum()} of 1,295 training images are used (data.max_train)",)
    assert whole.notes == layout("digits", "", max_train=1295).notes == ()
