"""Random erasing (Zhong et al., 2020): one box of an image, after normalisation, is 0. The rule is timm's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.compiling import compiled
from csrms_dist.basics.devices import put
from csrms_dist.datasets.augmentation.draws import Draw, uniform_of

ATTEMPTS = 10
SMALLEST, LARGEST = 0.02, 1 / 3
"""Share of the image's area."""
SQUATTEST = 0.3
"""Height over width of a box lies between this and one over it."""

_ERASED = 0x6572617365


def drawn_boxes(shape: tuple[int, ...], indices: I64, draw: Draw, probability: float) -> I64:
    """(4, B): top, left, h, w of what is erased of each image of shape (B, H, W, 3); h = w = 0 where nothing is."""
    boxes: I64 = _drawn_boxes(draw.words(_ERASED, indices), shape[1], shape[2], probability)
    return boxes


@compiled
def _drawn_boxes(words: Any, height: Any, width: Any, probability: Any) -> Any:
    boxes = np.zeros((4, len(words)), np.int64)
    for b in range(len(words)):
        if uniform_of(words[b], 0) < probability:
            boxes[0, b], boxes[1, b], boxes[2, b], boxes[3, b] = erased_box(words[b], height, width)
    return boxes


@compiled
def erased_box(word: Any, height: Any, width: Any) -> Any:
    """(top, left, h, w) of an image's box; h = w = 0 where no attempt gives one that is smaller than the image."""
    bound = math.log(SQUATTEST)
    for attempt in range(ATTEMPTS):
        area = height * width * (SMALLEST + (LARGEST - SMALLEST) * uniform_of(word, 4 * attempt + 1))
        shape = math.exp(bound - 2 * bound * uniform_of(word, 4 * attempt + 2))
        h = int(np.rint(math.sqrt(area * shape)))
        w = int(np.rint(math.sqrt(area / shape)))
        if h < height and w < width:
            top = int(uniform_of(word, 4 * attempt + 3) * (height - h + 1))
            left = int(uniform_of(word, 4 * attempt + 4) * (width - w + 1))
            return top, left, h, w
    return 0, 0, 0, 0


@compiled
def erase(images: Any, boxes: Any) -> None:
    """images (B, H, W, 3), normalised, changed where they lie: 0 in their boxes (4, B)."""
    for b in range(len(images)):
        top, left, h, w = boxes[0, b], boxes[1, b], boxes[2, b], boxes[3, b]
        images[b, top : top + h, left : left + w] = 0


def erase_on_device(images: Tensor, boxes: I64) -> None:
    """`erase` where the images are, without waiting for it."""
    top, left, h, w = put(boxes, images.device)
    height, width = images.shape[1:3]
    rows, columns = _within(top, h, height), _within(left, w, width)
    images.masked_fill_((rows[:, :, None] & columns[:, None, :])[..., None], 0)


def _within(first: Tensor, size: Tensor, whole: int) -> Tensor:
    """(B, whole) bool: which places lie in [first, first + size), both (B,)."""
    places = torch.arange(whole, device=first.device)
    return (places >= first[:, None]) & (places < (first + size)[:, None])
