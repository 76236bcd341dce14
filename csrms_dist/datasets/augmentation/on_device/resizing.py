"""Boxes of images, each resized to the whole of its image, as `boxes.resized` does."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.devices import put
from csrms_dist.datasets.augmentation.on_device.pixels import mirrored, picked


def resized(images: Tensor, boxes: I64) -> Tensor:
    """images (B, H, W, 3) uint8, their `boxes.drawn_boxes` (5, B) -> (B, H, W, 3) float32 from 0 to 255."""
    n, height, width, _ = images.shape
    top, left, h, w, flip = put(boxes, images.device)
    # Divided by the host: a device may multiply by the inverse of a number instead, which has other bits.
    down, across = put(boxes[2:4].astype(np.float32) / np.array([[height], [width]], np.float32), images.device)
    lines = torch.arange(height, device=images.device).expand(n, -1)
    low, high, share = _between(lines, h, down)
    places = torch.arange(n, device=images.device)[:, None]
    squeezed = images[places, top[:, None] + low] * (1 - share)[:, :, None, None]
    squeezed += images[places, top[:, None] + high] * share[:, :, None, None]
    low, high, share = _between(mirrored(flip, width), w, across)
    out = torch.empty(images.shape, dtype=torch.float32, device=images.device)
    torch.mul(picked(squeezed, lines, left[:, None] + low), (1 - share)[:, None, :, None], out=out)
    out += picked(squeezed, lines, left[:, None] + high).mul_(share[:, None, :, None])
    return out


def _between(places: Tensor, sizes: Tensor, ratios: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`boxes._between` of places (B, n) for boxes of sizes (B,), `ratios` (B,) of the whole: three of (B, n)."""
    source = ((places.to(torch.float32) + 0.5) * ratios[:, None] - 0.5).clamp_(min=0)
    last = (sizes - 1)[:, None]
    low = torch.minimum(source.to(torch.int64), last)
    return low, torch.minimum(low + 1, last), source - low.to(torch.float32)
