"""Boxes of a random area and shape, cut out of an image and resized to the whole of it (Szegedy et al., 2015).

The rule is that of torchvision's RandomResizedCrop: ten attempts, then the largest box of a legal shape in the middle.
Boxes are no larger than the image, so that resizing never shrinks and bilinear weights need no smoothing before.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from csrms_dist.basics.compiling import compiled
from csrms_dist.datasets.augmentation.draws import uniform_of

ATTEMPTS = 10
SQUATTEST, WIDEST = 3 / 4, 4 / 3
"""Width over height of a box."""

FLIP, FREE = 4 * ATTEMPTS, 4 * ATTEMPTS + 1
"""The numbers of an image's draws: four an attempt, the flip, then those that are free for others."""

_ONE, _HALF = np.float32(1), np.float32(0.5)


@compiled
def drawn_box(word: Any, height: Any, width: Any, least: Any) -> Any:
    """(top, left, h, w) of an image's box; its share of the area is uniform in [least, 1], the logarithm of its shape
    uniform between those of SQUATTEST and WIDEST."""
    low, high = math.log(SQUATTEST), math.log(WIDEST)
    for attempt in range(ATTEMPTS):
        area = height * width * (least + (1.0 - least) * uniform_of(word, 4 * attempt))
        shape = math.exp(low + (high - low) * uniform_of(word, 4 * attempt + 1))
        w = int(np.rint(math.sqrt(area * shape)))
        h = int(np.rint(math.sqrt(area / shape)))
        if 0 < w <= width and 0 < h <= height:
            top = int(uniform_of(word, 4 * attempt + 2) * (height - h + 1))
            left = int(uniform_of(word, 4 * attempt + 3) * (width - w + 1))
            return top, left, h, w
    h, w = height, width
    if width < SQUATTEST * height:
        h = int(np.rint(width / SQUATTEST))
    elif width > WIDEST * height:
        w = int(np.rint(height * WIDEST))
    return (height - h) // 2, (width - w) // 2, h, w


@compiled
def drawn_boxes(words: Any, height: Any, width: Any, least: Any) -> Any:
    """(5, B) int64 for words (B,): top, left, h, w of each image's box, and 1 where it is flipped, as half of them."""
    boxes = np.empty((5, len(words)), np.int64)
    for b in range(len(words)):
        boxes[0, b], boxes[1, b], boxes[2, b], boxes[3, b] = drawn_box(words[b], height, width, least)
        boxes[4, b] = uniform_of(words[b], FLIP) < 0.5
    return boxes


@compiled
def resized(images: Any, boxes: Any, scale: Any, shift: Any, out: Any) -> None:
    """out (B, H, W, 3) float32 = the box of each image (B, H, W, 3) uint8, resized, flipped or not, times scale (3,)
    plus shift (3,)."""
    n, height, width, _ = images.shape
    rows = images.reshape(n, height, width * 3)
    first, second, weight = np.empty(width, np.int64), np.empty(width, np.int64), np.empty(width, np.float32)
    line = np.empty(width * 3, np.float32)
    for b in range(n):
        top, left, h, w, flip = boxes[0, b], boxes[1, b], boxes[2, b], boxes[3, b], boxes[4, b]
        for x in range(width):
            place = width - 1 - x if flip else x
            first[place], second[place], weight[place] = _between(x, w, width)
            first[place], second[place] = 3 * first[place], 3 * second[place]
        for y in range(height):
            low, high, share = _between(y, h, height)
            a, c = rows[b, top + low], rows[b, top + high]
            for place in range(3 * w):
                line[place] = a[3 * left + place] * (_ONE - share) + c[3 * left + place] * share
            for x in range(width):
                i, j, right = first[x], second[x], weight[x]
                out[b, y, x, 0] = (line[i] * (_ONE - right) + line[j] * right) * scale[0] + shift[0]
                out[b, y, x, 1] = (line[i + 1] * (_ONE - right) + line[j + 1] * right) * scale[1] + shift[1]
                out[b, y, x, 2] = (line[i + 2] * (_ONE - right) + line[j + 2] * right) * scale[2] + shift[2]


@compiled
def _between(place: Any, size: Any, whole: Any) -> Any:
    """The two of `size` pixels between which pixel `place` of `whole` lies, and the weight of the second."""
    source = max((np.float32(place) + _HALF) * (np.float32(size) / np.float32(whole)) - _HALF, np.float32(0))
    low = min(int(source), size - 1)
    return low, min(low + 1, size - 1), source - np.float32(low)
