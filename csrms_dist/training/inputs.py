"""The encoder's input: images of a table, or the features of an encoder that stays frozen."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from csrms_dist.basics.arrays import F32, I64
from csrms_dist.datasets.augmentation import byte_values, feed
from csrms_dist.datasets.image_table import ImageTable
from csrms_dist.encoders import Normaliser


class Inputs(Protocol):
    """Training rows (b,) of an epoch -> what the encoder takes, (b, ...) float32: a function of these two alone."""

    def __call__(self, rows: I64, epoch: int) -> Tensor: ...


class ImageInputs:
    """(b, 3, H, W): augmented and normalised images. indices (N,): dense index of each training row."""

    def __init__(
        self, table: ImageTable, indices: I64, normalise: Normaliser, augmentation: str = "none", seed: int = 0
    ) -> None:
        self.table, self.indices, self.values = table, indices, byte_values(normalise)
        self.augmentation, self.seed = augmentation, seed

    def __call__(self, rows: I64, epoch: int) -> Tensor:
        indices = self.indices[rows]
        pixels = self.table.pixels(indices)
        return torch.from_numpy(feed(self.augmentation, pixels, indices, self.seed, epoch, self.values))


class FeatureInputs:
    """(b, D): rows of a feature table, which may be memory-mapped; nothing is augmented."""

    def __init__(self, vectors: F32) -> None:
        self.vectors = vectors

    def __call__(self, rows: I64, epoch: int) -> Tensor:
        return torch.from_numpy(self.vectors[rows])
