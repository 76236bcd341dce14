"""Changes of colour, on pixels (b, 3, H, W) float32 in [0, 1] where they lie, as those of `colours`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def changed(pixels: Tensor, images: Tensor, change: Callable[..., None], *numbers: Tensor) -> None:
    """A change, with its numbers (b,), of some of the pixels (B, 3, H, W): those at `images` (b,), each there once."""
    some = pixels.index_select(0, images)
    change(some, *numbers)
    pixels.index_copy_(0, images, some)


def brightened(pixels: Tensor, factors: Tensor) -> None:
    """Every value times its image's factor (b,)."""
    pixels.mul_(_each(factors)).clamp_(max=1)


def contrasted(pixels: Tensor, factors: Tensor) -> None:
    """The distance of every value to the mean grey of its image times the factor (b,)."""
    grey = _grey(pixels).flatten(1)
    mean = (grey.sum(1, dtype=torch.float64) / grey.shape[1]).to(torch.float32)
    pixels.mul_(_each(factors)).add_(_each((1 - factors) * mean)).clamp_(0, 1)


def saturated(pixels: Tensor, factors: Tensor) -> None:
    """The distance of every value to the grey of its pixel times the factor (b,)."""
    grey = _grey(pixels).mul_(1 - _each(factors))
    pixels.mul_(_each(factors)).add_(grey).clamp_(0, 1)


def turned(pixels: Tensor, turns: Tensor) -> None:
    """The hue of every pixel turned by its image's turn (b,), from -1/2 to 1/2."""
    red, green, blue = pixels.unbind(1)
    largest = pixels.amax(1)
    spread = largest - pixels.amin(1)
    of_red, of_green = largest == red, largest == green
    hue = torch.where(of_red, green - blue, torch.where(of_green, blue - red, red - green))
    hue.div_(torch.where(spread > 0, spread, 1))  # what is grey has no hue and stays, whichever it were
    hue.add_(torch.where(of_red, 0.0, torch.where(of_green, 2.0, 4.0)))
    hue.add_(_each(6 * turns)[:, 0])
    hue = torch.where(hue >= 6, hue - 6, hue)
    for channel, n in ((red, 5), (green, 3), (blue, 1)):
        k = (hue + n).remainder_(6)
        torch.sub(largest, torch.minimum(k, 4 - k).clamp_(0, 1).mul_(spread), out=channel)


def greyed(pixels: Tensor) -> None:
    """Every pixel is grey."""
    pixels.copy_(_grey(pixels))


def _grey(pixels: Tensor) -> Tensor:
    """(b, 1, H, W)."""
    red, green, blue = pixels.unbind(1)
    return (0.2989 * red).add_(0.587 * green).add_(0.114 * blue)[:, None]


def _each(numbers: Tensor) -> Tensor:
    """(b,) -> (b, 1, 1, 1): one number for each image."""
    return numbers[:, None, None, None]
