"""Changes of colour, on pixels (n, 3) float32 in [0, 1] where they lie; the formulas are torchvision's on floats."""

from __future__ import annotations

from typing import Any

import numpy as np

from csrms_dist.basics.compiling import compiled

_RED, _GREEN, _BLUE = np.float32(0.2989), np.float32(0.587), np.float32(0.114)
_ZERO, _ONE, _SIX = np.float32(0), np.float32(1), np.float32(6)


@compiled
def _grey(pixels: Any, i: Any) -> Any:
    return _RED * pixels[i, 0] + _GREEN * pixels[i, 1] + _BLUE * pixels[i, 2]


@compiled
def brightened(pixels: Any, factor: Any) -> None:
    """Every value times `factor`."""
    for i in range(len(pixels)):
        for c in range(3):
            pixels[i, c] = min(pixels[i, c] * factor, _ONE)


@compiled
def contrasted(pixels: Any, factor: Any) -> None:
    """The distance of every value to the mean grey of the image times `factor`."""
    total = 0.0
    for i in range(len(pixels)):
        total += _grey(pixels, i)
    middle = (_ONE - factor) * np.float32(total / len(pixels))
    for i in range(len(pixels)):
        for c in range(3):
            pixels[i, c] = min(max(factor * pixels[i, c] + middle, _ZERO), _ONE)


@compiled
def saturated(pixels: Any, factor: Any) -> None:
    """The distance of every value to the grey of its pixel times `factor`."""
    for i in range(len(pixels)):
        grey = (_ONE - factor) * _grey(pixels, i)
        for c in range(3):
            pixels[i, c] = min(max(factor * pixels[i, c] + grey, _ZERO), _ONE)


@compiled
def greyed(pixels: Any) -> None:
    """Every pixel is grey."""
    for i in range(len(pixels)):
        grey = _grey(pixels, i)
        for c in range(3):
            pixels[i, c] = grey


@compiled
def turned(pixels: Any, turn: Any) -> None:
    """The hue of every pixel turned by `turn`, from -1/2 to 1/2 of a turn; its largest and its smallest value stay.

    A channel is v - (v - s) max(0, min(k, 4 - k, 1)) with k = (n + 6 hue) mod 6 and n = 5, 3, 1 for red, green, blue,
    which is the usual way by six sectors without a branch.
    """
    for i in range(len(pixels)):
        red, green, blue = pixels[i, 0], pixels[i, 1], pixels[i, 2]
        largest, smallest = max(red, green, blue), min(red, green, blue)
        spread = largest - smallest
        if spread > 0:
            if largest == red:
                hue = (green - blue) / spread
            elif largest == green:
                hue = np.float32(2) + (blue - red) / spread
            else:
                hue = np.float32(4) + (red - green) / spread
            hue += _SIX * turn
            if hue >= _SIX:
                hue -= _SIX
            pixels[i, 0] = _channel(np.float32(5) + hue, largest, spread)
            pixels[i, 1] = _channel(np.float32(3) + hue, largest, spread)
            pixels[i, 2] = _channel(np.float32(1) + hue, largest, spread)


@compiled
def _channel(k: Any, largest: Any, spread: Any) -> Any:
    """k in (-6, 12)."""
    if k >= _SIX:
        k -= _SIX
    elif k < _ZERO:
        k += _SIX
    return largest - spread * max(_ZERO, min(k, np.float32(4) - k, _ONE))
