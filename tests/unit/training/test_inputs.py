"""What the encoder is fed with is a function of rows and epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from csrms_dist.datasets.augmentation import augment
from csrms_dist.encoders import Normaliser
from csrms_dist.training.inputs import FeatureInputs, ImageInputs


def test_images_are_augmented_by_their_dense_index_and_normalised(digits_run: Any) -> None:
    table, indices = digits_run.table, digits_run.table.indices("train")[::3]
    normalise = Normaliser((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    rows = np.array([7, 0, 3])
    inputs = ImageInputs(table, indices, normalise, "crop_flip", seed=5)
    pixels = augment("crop_flip", table.pixels(indices[rows]), indices[rows], 5, 2)
    expected = (pixels.transpose(0, 3, 1, 2) / 255 - np.reshape([0.5, 0.4, 0.3], (3, 1, 1))) / np.reshape(
        [0.2, 0.3, 0.4], (3, 1, 1)
    )
    torch.testing.assert_close(inputs(rows, 2), torch.from_numpy(expected.astype(np.float32)))
    assert torch.equal(inputs(rows, 2)[1], inputs(rows[1:2], 2)[0])
    assert not torch.equal(inputs(rows, 2), inputs(rows, 3))


def test_features_are_the_tables_rows_in_every_epoch() -> None:
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    inputs = FeatureInputs(vectors)
    for epoch in (0, 1):
        assert torch.equal(inputs(np.array([3, 1]), epoch), torch.from_numpy(vectors[[3, 1]]))
