"""Pixels -> what an encoder reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from csrms_dist.basics.arrays import U8
from csrms_dist.encoders.architecture import Channels
from csrms_dist.encoders.make import architecture_of
from csrms_dist.encoders.settings import EncoderSettings


class Normaliser(nn.Module):
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32, each channel (x / 255 - mean) / std."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255
        return (x - self.mean) / self.std


def images_to_tensor(pixels: U8) -> Tensor:
    """(B, H, W, 3) uint8 -> a tensor that shares the memory."""
    return torch.from_numpy(np.ascontiguousarray(pixels))


def normalisation(settings: EncoderSettings, mean: Sequence[float], std: Sequence[float]) -> tuple[Channels, Channels]:
    """The mean and std of each channel that the encoder is used with.

    Given weights may expect the ones that they were trained with, as timm's do; everything else takes those of the
    training images, `mean` and `std`.
    """
    given = architecture_of(settings.name).normalisation() if settings.weights else None
    return given or (tuple(map(float, mean)), tuple(map(float, std)))
