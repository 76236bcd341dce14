"""Images as they are."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from csrms_dist.basics.arrays import I64, U8
from csrms_dist.basics.compiling import compiled
from csrms_dist.datasets.augmentation.augmentation import Augmentation
from csrms_dist.datasets.augmentation.draws import Draw
from csrms_dist.datasets.augmentation.on_device.pixels import looked_up


def _drawn(shape: tuple[int, ...], indices: I64, draw: Draw) -> None:
    """Nothing is drawn."""


def _on_host(images: U8, drawn: None, values: Any, out: Any) -> None:
    _look_up(images.reshape(-1, 3), values, out.reshape(-1, 3))


@compiled
def _look_up(pixels: Any, values: Any, out: Any) -> None:
    """out (n, 3) = the value of each byte in its channel."""
    for place in range(len(pixels)):
        out[place, 0] = values[pixels[place, 0], 0]
        out[place, 1] = values[pixels[place, 1], 1]
        out[place, 2] = values[pixels[place, 2], 2]


def _on_device(images: Tensor, drawn: None, values: Tensor) -> Tensor:
    return looked_up(images, values)


AUGMENTATION = Augmentation(_drawn, _on_host, _on_device)
