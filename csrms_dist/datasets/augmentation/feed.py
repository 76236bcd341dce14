"""Whole batches of images -> what an encoder takes, augmented and normalised.

A byte has one normalised value in each channel: where no new colours arise, all that is computed for a pixel is where
it comes from, and its value is looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from csrms_dist.basics.arrays import F32, I64, U8
from csrms_dist.basics.lookup import resolve
from csrms_dist.datasets.augmentation import AUGMENTATIONS
from csrms_dist.datasets.augmentation.augmentation import Augmentation
from csrms_dist.datasets.augmentation.draws import Draw
from csrms_dist.datasets.augmentation.random_erasing import drawn_boxes, erase, erase_on_device


def feed(kind: str, images: U8, indices: I64, draw: Draw, values: F32, erasing: float = 0.0) -> F32:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32: augmented, then the normalised `values` (256, 3) of its bytes.

    kind: a name of AUGMENTATIONS. indices: (B,), the images' dense indices. erasing: the probability of an erased box.
    Channels are last in memory.
    """
    augmentation: Augmentation[Any] = resolve(AUGMENTATIONS[kind])
    out = np.empty(images.shape, np.float32)
    augmentation.on_host(np.ascontiguousarray(images), augmentation.drawn(images.shape, indices, draw), values, out)
    if erasing > 0:
        erase(out, drawn_boxes(images.shape, indices, draw, erasing))
    return out.transpose(0, 3, 1, 2)


@torch.no_grad()
def device_feed(kind: str, images: Tensor, indices: I64, draw: Draw, values: Tensor, erasing: float = 0.0) -> Tensor:
    """`feed` where the images are: (B, H, W, 3) uint8 and values (256, 3) float32 on a device -> (B, 3, H, W) float32
    on it, channels last in memory.

    The host draws the same as there and waits for nothing. The numbers are the same too; only means of whole images,
    in `contrastive`, are sums in another order.
    """
    augmentation: Augmentation[Any] = resolve(AUGMENTATIONS[kind])
    drawn = augmentation.drawn(tuple(images.shape), indices, draw)
    out = augmentation.on_device(images.contiguous(), drawn, values)
    if erasing > 0:
        erase_on_device(out, drawn_boxes(tuple(images.shape), indices, draw, erasing))
    return out.permute(0, 3, 1, 2)


def byte_values(normalise: Callable[[Tensor], Tensor]) -> F32:
    """The value of each byte in each channel by a normaliser, (B, H, W, 3) uint8 -> (B, 3, H, W): (256, 3) float32."""
    every_byte = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1).expand(256, 1, 1, 3)
    with torch.no_grad():
        values = normalise(every_byte).to(torch.float32).reshape(256, 3)
    return np.ascontiguousarray(values.numpy())
