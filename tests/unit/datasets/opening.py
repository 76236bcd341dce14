"""A data set opened, and its rows as plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np

from csrms_dist.datasets.decoding import decode
from csrms_dist.datasets.image_source import SPLITS, ImageSource, Layout
from csrms_dist.datasets.layouts.choose import open_layout
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.labels import label_lists


def layout(dataset: str, path: str, **settings: Any) -> Layout:
    return open_layout(DataSettings(dataset=dataset, path=path, **settings))


def rows(source: ImageSource) -> dict[str, tuple[str, list[int], Any]]:
    """id -> (split, labels, pixels)."""
    images = list(source.images)
    assert len(images) == len(source) == source.membership.shape[0] == len(source.split)
    return {
        name: (SPLITS[code], labels, decode(image))
        for name, code, labels, image in zip(
            source.ids.to_pylist(), source.split, label_lists(source.membership), images, strict=True
        )
    }


def same(found: dict[str, tuple[str, list[int], Any]], expected: dict[str, tuple[str, list[int], Any]]) -> None:
    assert list(found) == list(expected)
    for name, (split, labels, pixels) in expected.items():
        assert found[name][:2] == (split, labels), name
        assert np.array_equal(found[name][2], pixels), name
