"""Crop and flip, as CIFAR's trainings have it: pad by 4 (reflected), crop back, flip half of the images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from csrms_dist.basics.arrays import I64, U8
from csrms_dist.basics.compiling import compiled
from csrms_dist.basics.devices import put
from csrms_dist.basics.hashing import mix
from csrms_dist.datasets.augmentation.augmentation import Augmentation
from csrms_dist.datasets.augmentation.draws import Draw
from csrms_dist.datasets.augmentation.on_device.pixels import looked_up, mirrored, picked

PADDING = 4
PLACES = 2 * PADDING + 1

_CROP_FLIP = 0x61756765
"""Keeps these draws apart from the order of the epoch, which sorts another hash of (seed, epoch, row)."""


def _drawn(shape: tuple[int, ...], indices: I64, draw: Draw) -> I64:
    """(3, B): top and left of the crop in the padded image, and 1 where it is flipped."""
    # Of the first view as in version 0.1.0 before there were views.
    first = mix(_CROP_FLIP, draw.seed, draw.epoch, indices)
    words = first if draw.view == 0 else mix(first, draw.view)
    places = np.uint64(PLACES)
    return np.stack([words % places, words // places % places, words >> np.uint64(63)]).astype(np.int64)


def _sources(shape: tuple[int, ...]) -> tuple[I64, I64]:
    """The row and the column of the image that each row and column of the padded image repeats."""
    height, width = shape[1:3]
    return np.pad(np.arange(height), PADDING, mode="reflect"), np.pad(np.arange(width), PADDING, mode="reflect")


def _on_host(images: U8, drawn: I64, values: Any, out: Any) -> None:
    """Crop, flip and look up in one pass over the pixels."""
    rows, columns = _sources(images.shape)
    top, left, flip = drawn
    _crop_flip(images, rows, columns, top, left, flip, values, out)


@compiled
def _crop_flip(images: Any, rows: Any, columns: Any, top: Any, left: Any, flip: Any, values: Any, out: Any) -> None:
    """out (B, H, W, 3) = the crop of each image, the value (256, 3) of each byte in its channel."""
    n, height, width, _ = images.shape
    source = np.empty(width, np.int64)
    for b in range(n):
        for x in range(width):
            source[x] = columns[left[b] + (width - 1 - x if flip[b] else x)]
        for y in range(height):
            row = rows[top[b] + y]
            for x in range(width):
                column = source[x]
                out[b, y, x, 0] = values[images[b, row, column, 0], 0]
                out[b, y, x, 1] = values[images[b, row, column, 1], 1]
                out[b, y, x, 2] = values[images[b, row, column, 2], 2]


def _on_device(images: Tensor, drawn: I64, values: Tensor) -> Tensor:
    height, width = images.shape[1:3]
    rows, columns = (put(source, images.device) for source in _sources(images.shape))
    top, left, flip = put(drawn, images.device)
    lines = torch.arange(height, device=images.device)
    shown = picked(images, rows[top[:, None] + lines], columns[left[:, None] + mirrored(flip, width)])
    return looked_up(shown, values)


AUGMENTATION = Augmentation(_drawn, _on_host, _on_device)
