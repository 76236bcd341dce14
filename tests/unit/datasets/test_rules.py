"""Rules that hold whatever the layout."""

from __future__ import annotations

import pytest

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
