"""Augmentation of whole batches. The draw of an image is a hash of (seed, epoch, image), whoever draws.

`feed` crops, flips and normalises in one pass over the pixels: a byte has one normalised value in each channel, so all
that is computed for a pixel is where it comes from, and its value is looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from csrms_dist.basics.arrays import F32, I64, U8, Bools
from csrms_dist.basics.compiling import compiled
from csrms_dist.basics.hashing import mix

PADDING = 4
PLACES = 2 * PADDING + 1

_AUGMENT = 0x61756765
"""Keeps these draws apart from the order of the epoch, which sorts another hash of (seed, epoch, row)."""


def augment(kind: str, images: U8, indices: I64, seed: int, epoch: int) -> U8:
    """(B, H, W, 3) uint8 -> the same shape. 'crop_flip': pad by 4 (reflected), crop back, flip half of them."""
    if kind == "none":
        return images
    every_byte = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)
    cropped: U8 = _crop_flip(kind, images, indices, seed, epoch, every_byte)
    return cropped


def feed(kind: str, images: U8, indices: I64, seed: int, epoch: int, values: F32) -> F32:
    """`augment`, then the normalised `values` (256, 3) of each byte: (B, H, W, 3) uint8 -> (B, 3, H, W) float32.

    The result has the bits and the memory order (channels last) of normalising what `augment` returns.
    """
    cropped: F32 = _crop_flip(kind, images, indices, seed, epoch, values)
    return cropped.transpose(0, 3, 1, 2)


def byte_values(normalise: Callable[[Tensor], Tensor]) -> F32:
    """The value of each byte in each channel by a normaliser, (B, H, W, 3) uint8 -> (B, 3, H, W): (256, 3) float32."""
    every_byte = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1).expand(256, 1, 1, 3)
    with torch.no_grad():
        values = normalise(every_byte).to(torch.float32).reshape(256, 3)
    return np.ascontiguousarray(values.numpy())


def _crop_flip(kind: str, images: U8, indices: I64, seed: int, epoch: int, values: Any) -> Any:
    out = np.empty(images.shape, values.dtype)
    sources, draws = _sources(images.shape), _draws(kind, indices, seed, epoch)
    _crop_flip_values(np.ascontiguousarray(images), *sources, *draws, values, out)
    return out


def _draws(kind: str, indices: I64, seed: int, epoch: int) -> tuple[I64, I64, Bools]:
    """(B,) top and left of the crop in the padded image, and whether it is flipped. 'none': the image as it is."""
    if kind == "none":
        middle = np.full(len(indices), PADDING, np.int64)
        return middle, middle, np.zeros(len(indices), np.bool_)
    draws = mix(_AUGMENT, seed, epoch, indices)
    places = np.uint64(PLACES)
    top, left = (draws % places).astype(np.int64), (draws // places % places).astype(np.int64)
    return top, left, (draws >> np.uint64(63)).astype(np.bool_)


def _sources(shape: tuple[int, ...]) -> tuple[I64, I64]:
    """The row and the column of the image that each row and column of the padded image repeats."""
    height, width = shape[1:3]
    return np.pad(np.arange(height), PADDING, mode="reflect"), np.pad(np.arange(width), PADDING, mode="reflect")


@compiled
def _crop_flip_values(
    images: Any, rows: Any, columns: Any, top: Any, left: Any, flip: Any, values: Any, out: Any
) -> Any:
    """out (B, H, W, 3) = the crop of each image, the value (256, 3) of each byte in its channel; all in one pass."""
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
