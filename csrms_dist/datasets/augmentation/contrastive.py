"""The views of an image for contrastive learning (Chen et al., 2020): a resized box of 20 to 100 % of it, flipped or
not, in other colours, or grey."""

from __future__ import annotations

from typing import Any

import numpy as np

from csrms_dist.basics.arrays import I64, U8
from csrms_dist.basics.compiling import compiled
from csrms_dist.datasets.augmentation.boxes import FREE, resized
from csrms_dist.datasets.augmentation.colours import (
    brightened,
    contrasted,
    greyed,
    saturated,
    turned,
)
from csrms_dist.datasets.augmentation.draws import Draw, uniform_of

LEAST = 0.2
JITTERED, GREY = 0.8, 0.2
"""The shares of images whose colours are changed, and of grey ones."""
STRENGTH, TURN = 0.4, 0.1
"""Brightness, contrast and saturation are multiplied by a number in 1 -+ STRENGTH, hues turned by up to TURN of a turn;
in a random order, as torchvision's ColorJitter does."""

_CONTRASTIVE = 0x766965777A
_ORDER, _FACTORS, _WHETHER = FREE, FREE + 3, FREE + 7


def contrastive(images: U8, indices: I64, draw: Draw, values: Any, out: Any) -> None:
    """`values` must be linear in the byte, as a normaliser's are: new colours have no entry."""
    words = draw.words(_CONTRASTIVE, indices)
    resized(images, words, LEAST, np.full(3, 1 / 255, np.float32), np.zeros(3, np.float32), out)
    coloured(out.reshape(len(out), -1, 3), words)
    out *= values[255] - values[0]
    out += values[0]


@compiled
def coloured(pixels: Any, words: Any) -> None:
    """pixels (B, n, 3) float32 in [0, 1], changed where they lie."""
    order = np.empty(4, np.int64)
    for b in range(len(pixels)):
        word, image = words[b], pixels[b]
        if uniform_of(word, _WHETHER) < JITTERED:
            for k in range(4):
                order[k] = k
            for k in range(3):  # Fisher and Yates
                other = k + int(uniform_of(word, _ORDER + k) * (4 - k))
                order[k], order[other] = order[other], order[k]
            for change in order:
                number = 2.0 * uniform_of(word, _FACTORS + change) - 1.0
                factor = np.float32(1.0 + STRENGTH * number)
                if change == 0:
                    brightened(image, factor)
                elif change == 1:
                    contrasted(image, factor)
                elif change == 2:
                    saturated(image, factor)
                else:
                    turned(image, np.float32(TURN * number))
        if uniform_of(word, _WHETHER + 1) < GREY:
            greyed(image)
