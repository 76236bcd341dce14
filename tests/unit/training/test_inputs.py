"""What the encoder is fed with is a function of rows and epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from csrms_dist.datasets.augmentation.draws import Draw
from csrms_dist.datasets.augmentation.feed import feed
from csrms_dist.encoders import Normaliser
from csrms_dist.training.inputs import FeatureInputs, ImageInputs


def test_images_are_augmented_by_their_dense_index_and_normalised(digits_run: Any) -> None:
    table, indices = digits_run.table, digits_run.table.indices("train")[::3]
    normalise = Normaliser((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    rows = np.array([7, 0, 3])
    inputs = ImageInputs(table, indices, normalise, "crop_flip", seed=5)
    values = (np.arange(256)[:, None] / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]
    pixels = table.pixels(indices[rows])
    expected = feed("crop_flip", pixels, indices[rows], Draw(5, 2), values.astype(np.float32))
    torch.testing.assert_close(inputs(rows, 2), torch.from_numpy(expected))
    assert torch.equal(inputs(rows, 2)[1], inputs(rows[1:2], 2)[0])
    assert not torch.equal(inputs(rows, 2), inputs(rows, 3))


def test_another_view_is_another_draw_and_a_box_of_some_is_erased(digits_run: Any) -> None:
    table, indices = digits_run.table, digits_run.table.indices("train")
    normalise, rows = Normaliser((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)), np.arange(40)
    inputs = ImageInputs(table, indices, normalise, "crop_flip", seed=5, erasing=0.5)
    first, second = inputs(rows, 2), inputs(rows, 2, 1)
    assert torch.equal(second[3], inputs(rows[3:4], 2, view=1)[0])
    whole = [ImageInputs(table, indices, normalise, "crop_flip", seed=5)(rows, 2, view) for view in (0, 1)]
    assert not torch.equal(*whole)
    for erased, before in zip((first, second), whole, strict=True):
        changed = erased != before
        assert 10 < int(changed.flatten(1).any(dim=1).sum()) < 30
        assert (erased[changed] == 0).all()


def test_features_are_the_tables_rows_in_every_epoch() -> None:
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    inputs = FeatureInputs(vectors)
    for epoch in (0, 1):
        for view in (0, 1):
            assert torch.equal(inputs(np.array([3, 1]), epoch, view), torch.from_numpy(vectors[[3, 1]]))
