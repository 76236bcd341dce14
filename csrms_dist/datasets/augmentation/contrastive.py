"""The views of an image for contrastive learning (Chen et al., 2020): a resized box of 20 to 100 % of it, flipped or
not, in other colours, or grey.

The values of bytes must be linear, as a normaliser's are: new colours have no entry.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from csrms_dist.basics.arrays import F32, I64, U8, Bools
from csrms_dist.basics.compiling import compiled
from csrms_dist.basics.devices import put
from csrms_dist.datasets.augmentation.augmentation import Augmentation
from csrms_dist.datasets.augmentation.boxes import FREE, drawn_boxes, resized
from csrms_dist.datasets.augmentation.colours import (
    brightened,
    contrasted,
    greyed,
    saturated,
    turned,
)
from csrms_dist.datasets.augmentation.draws import Draw, uniform_of
from csrms_dist.datasets.augmentation.on_device import colours, resizing

LEAST = 0.2
JITTERED, GREY = 0.8, 0.2
"""The shares of images whose colours are changed, and of grey ones."""
STRENGTH, TURN = 0.4, 0.1
"""Brightness, contrast and saturation are multiplied by a number in 1 -+ STRENGTH, hues turned by up to TURN of a turn;
in a random order, as torchvision's ColorJitter does."""

_CONTRASTIVE = 0x766965777A
_ORDER, _FACTORS, _WHETHER = FREE, FREE + 3, FREE + 7
_SCALE = np.float32(1 / 255)
_CHANGES = (colours.brightened, colours.contrasted, colours.saturated, colours.turned)
"""By the numbers that `Views.order` has for them."""


class Views(NamedTuple):
    """boxes (5, B) of `drawn_boxes`. jittered (B,): whether colours change: order (B, 4), of the four changes, each of
    which has its factor (B, 4). grey (B,): whether the image is grey in the end."""

    boxes: I64
    jittered: Bools
    order: I64
    factors: F32
    grey: Bools


def _drawn(shape: tuple[int, ...], indices: I64, draw: Draw) -> Views:
    words = draw.words(_CONTRASTIVE, indices)
    return Views(drawn_boxes(words, shape[1], shape[2], LEAST), *_drawn_colours(words))


@compiled
def _drawn_colours(words: Any) -> Any:
    """`Views` without the boxes, for words (B,)."""
    n = len(words)
    jittered, grey = np.empty(n, np.bool_), np.empty(n, np.bool_)
    order, factors = np.empty((n, 4), np.int64), np.empty((n, 4), np.float32)
    for b in range(n):
        word = words[b]
        jittered[b] = uniform_of(word, _WHETHER) < JITTERED
        grey[b] = uniform_of(word, _WHETHER + 1) < GREY
        for k in range(4):
            order[b, k] = k
        for k in range(3):  # Fisher and Yates
            other = k + int(uniform_of(word, _ORDER + k) * (4 - k))
            order[b, k], order[b, other] = order[b, other], order[b, k]
        for change in range(4):
            number = 2.0 * uniform_of(word, _FACTORS + change) - 1.0
            factors[b, change] = TURN * number if change == 3 else 1.0 + STRENGTH * number
    return jittered, order, factors, grey


def _on_host(images: U8, drawn: Views, values: Any, out: Any) -> None:
    resized(images, drawn.boxes, np.full(3, _SCALE), np.zeros(3, np.float32), out)
    n, height, width, _ = out.shape
    _coloured(out.reshape(n, height * width, 3), drawn.jittered, drawn.order, drawn.factors, drawn.grey)
    out *= values[255] - values[0]
    out += values[0]


@compiled
def _coloured(pixels: Any, jittered: Any, order: Any, factors: Any, grey: Any) -> None:
    """pixels (B, n, 3) float32 in [0, 1], changed where they lie."""
    for b in range(len(pixels)):
        image = pixels[b]
        if jittered[b]:
            for change in order[b]:
                factor = factors[b, change]
                if change == 0:
                    brightened(image, factor)
                elif change == 1:
                    contrasted(image, factor)
                elif change == 2:
                    saturated(image, factor)
                else:
                    turned(image, factor)
        if grey[b]:
            greyed(image)


def _on_device(images: Tensor, drawn: Views, values: Tensor) -> Tensor:
    out = resizing.resized(images, drawn.boxes)
    pixels = out.permute(0, 3, 1, 2).contiguous().mul_(float(_SCALE))
    _coloured_on_device(pixels, drawn)
    return torch.mul(pixels.permute(0, 2, 3, 1), values[255] - values[0], out=out).add_(values[0])


def _coloured_on_device(pixels: Tensor, drawn: Views) -> None:
    """pixels (B, 3, H, W). In each turn the images of the same change are changed together; which ones they are the
    host has drawn, so that it knows how many without asking the device."""
    jittered = np.flatnonzero(drawn.jittered)
    order = drawn.order[jittered]
    together = np.argsort(order, axis=0, kind="stable")  # (J, 4): in each turn, those with the first change first
    images = jittered[together]
    factors = drawn.factors[images, np.take_along_axis(order, together, axis=0)]
    all_images, all_factors = (put(np.ascontiguousarray(of.T), pixels.device) for of in (images, factors))
    for turn in range(4):
        counts = np.bincount(order[:, turn], minlength=4).tolist()
        parts = torch.split(all_images[turn], counts), torch.split(all_factors[turn], counts)
        for change, some, by in zip(_CHANGES, *parts, strict=True):
            if len(some):
                colours.changed(pixels, some, change, by)
    grey = np.flatnonzero(drawn.grey)
    if len(grey):
        colours.changed(pixels, put(grey, pixels.device), colours.greyed)


AUGMENTATION = Augmentation(_drawn, _on_host, _on_device)
