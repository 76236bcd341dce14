"""The encoder's input: images of a table, or the features of an encoder that stays frozen."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from csrms_dist.basics.arrays import F32, I64
from csrms_dist.basics.devices import put
from csrms_dist.datasets.augmentation import NONE
from csrms_dist.datasets.augmentation.draws import Draw
from csrms_dist.datasets.augmentation.feed import byte_values, device_feed, feed
from csrms_dist.datasets.image_table import ImageTable
from csrms_dist.encoders import Normaliser

CPU = torch.device("cpu")


class Inputs(Protocol):
    """Training rows (b,) of an epoch -> what the encoder takes, (b, ...) float32 on a device: a function of these and
    of the view alone. view: 0, or another number for another draw of the same images."""

    def __call__(self, rows: I64, epoch: int, view: int = 0, device: torch.device = CPU) -> Tensor: ...


class ImageInputs:
    """(b, 3, H, W): augmented and normalised images. indices (N,): dense index of each training row. erasing: the
    probability of an erased box. To a GPU they go as bytes, and what is drawn for them on the host is done there."""

    def __init__(
        self,
        table: ImageTable,
        indices: I64,
        normalise: Normaliser,
        augmentation: str = NONE,
        seed: int = 0,
        erasing: float = 0.0,
    ) -> None:
        self.table, self.indices, self.values = table, indices, byte_values(normalise)
        self.augmentation, self.seed, self.erasing = augmentation, seed, erasing

    def __call__(self, rows: I64, epoch: int, view: int = 0, device: torch.device = CPU) -> Tensor:
        indices = self.indices[rows]
        pixels = self.table.pixels(indices)
        draw = Draw(self.seed, epoch, view)
        if device.type != "cpu":
            values = put(self.values, device)
            return device_feed(self.augmentation, put(pixels, device), indices, draw, values, self.erasing)
        return torch.from_numpy(feed(self.augmentation, pixels, indices, draw, self.values, self.erasing))


class FeatureInputs:
    """(b, D): rows of a feature table, which may be memory-mapped; nothing is augmented, so all views are the same."""

    def __init__(self, vectors: F32) -> None:
        self.vectors = vectors

    def __call__(self, rows: I64, epoch: int, view: int = 0, device: torch.device = CPU) -> Tensor:
        return put(self.vectors[rows], device)
