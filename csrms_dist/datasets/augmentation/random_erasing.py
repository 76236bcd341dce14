"""Random erasing (Zhong et al., 2020): one box of an image, after normalisation, is 0. The rule is timm's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from csrms_dist.basics.arrays import F32, I64
from csrms_dist.basics.compiling import compiled
from csrms_dist.datasets.augmentation.draws import Draw, uniform_of

ATTEMPTS = 10
SMALLEST, LARGEST = 0.02, 1 / 3
"""Share of the image's area."""
SQUATTEST = 0.3
"""Height over width of a box lies between this and one over it."""

_ERASED = 0x6572617365


def erase(images: F32, indices: I64, draw: Draw, probability: float) -> None:
    """images (B, H, W, 3), normalised, changed where they lie: a box of so many of them is 0."""
    _erase(images, draw.words(_ERASED, indices), probability)


@compiled
def _erase(images: Any, words: Any, probability: Any) -> None:
    n, height, width, _ = images.shape
    for b in range(n):
        if uniform_of(words[b], 0) < probability:
            top, left, h, w = erased_box(words[b], height, width)
            images[b, top : top + h, left : left + w] = 0


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
