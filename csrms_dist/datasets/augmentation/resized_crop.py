"""A box of 8 to 100 % of the image, resized to the whole of it, half of them flipped (Szegedy et al., 2015).

The values of bytes must be linear, as a normaliser's are: what lies between two bytes has no entry.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from csrms_dist.basics.arrays import I64, U8
from csrms_dist.datasets.augmentation.augmentation import Augmentation
from csrms_dist.datasets.augmentation.boxes import drawn_boxes, resized
from csrms_dist.datasets.augmentation.draws import Draw
from csrms_dist.datasets.augmentation.on_device import resizing

LEAST = 0.08
_RESIZED_CROP = 0x7265637270


def _drawn(shape: tuple[int, ...], indices: I64, draw: Draw) -> I64:
    boxes: I64 = drawn_boxes(draw.words(_RESIZED_CROP, indices), shape[1], shape[2], LEAST)
    return boxes


def _on_host(images: U8, drawn: I64, values: Any, out: Any) -> None:
    scale = ((values[255] - values[0]) / 255).astype(np.float32)
    resized(images, drawn, scale, values[0], out)


def _on_device(images: Tensor, drawn: I64, values: Tensor) -> Tensor:
    # By a tensor, not a number: see `on_device.resizing`.
    scale = (values[255] - values[0]) / torch.full_like(values[0], 255)
    return resizing.resized(images, drawn).mul_(scale).add_(values[0])


AUGMENTATION = Augmentation(_drawn, _on_host, _on_device)
