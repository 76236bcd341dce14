"""Image encoders: (B, 3, H, W) float32, normalised -> (B, D) features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from csrms_dist.errors import ConfigError


class Encoder(nn.Module):
    """What every encoder is: a module from (B, 3, H, W) to (B, dimension)."""

    dimension: int


class LeNet5(Encoder):
    """LeNet-5 (LeCun et al., 1998) with ReLU and max pooling: (B, 3, 32, 32) -> (B, 84), non-negative."""

    dimension = 84

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.max_pool2d(torch.relu(self.conv1(images)), 2)
        x = torch.max_pool2d(torch.relu(self.conv2(x)), 2)
        x = torch.relu(self.fc1(x.flatten(1)))
        return torch.relu(self.fc2(x))


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


def make_encoder(name: str, image_shape: tuple[int, int, int], seed: int) -> Encoder:
    """A freshly initialised encoder; the weights are a function of `seed` alone."""
    if name == "lenet5":
        if image_shape != (32, 32, 3):
            raise ConfigError(
                "encoder.name", got=f"lenet5 with images of {image_shape}", expected="images of 32 x 32 x 3"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return LeNet5()
    raise ConfigError("encoder.name", got=repr(name), expected="'lenet5'")


def images_to_tensor(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """(B, H, W, 3) uint8 -> a tensor that shares the memory."""
    return torch.from_numpy(np.ascontiguousarray(pixels))
