"""Augmentation of whole batches. The draw of an image is a hash of (seed, epoch, image), whoever draws."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from csrms_dist.hashing import mix

U8 = npt.NDArray[np.uint8]
PADDING = 4

_AUGMENT = 0x61756765
"""Keeps these draws apart from the order of the epoch, which sorts another hash of (seed, epoch, row)."""


def augment(kind: str, images: U8, indices: npt.NDArray[np.int64], seed: int, epoch: int) -> U8:
    """(B, H, W, 3) uint8 -> the same shape. 'crop_flip': pad by 4 (reflected), crop back, flip half of them."""
    if kind == "none":
        return images
    draws = mix(_AUGMENT, seed, epoch, indices)
    span = np.uint64(2 * PADDING + 1)
    top, left = (draws % span).astype(np.int64), (draws // span % span).astype(np.int64)
    flip = (draws >> np.uint64(63)).astype(np.bool_)
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0)), mode="reflect")
    rows = top[:, None] + np.arange(height)
    columns = left[:, None] + np.arange(width)
    columns = np.where(flip[:, None], columns[:, ::-1], columns)
    cropped: U8 = padded[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]
    return cropped
