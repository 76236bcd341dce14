"""Where pixels come from, and the values of their bytes."""

from __future__ import annotations

import torch
from torch import Tensor


def picked(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """images (B, H, W, 3), rows (B, h), columns (B, w) int64 -> (B, h, w, 3): pixel [rows[b, y], columns[b, x]]."""
    image = torch.arange(len(images), device=images.device)[:, None, None]
    return images[image, rows[:, :, None], columns[:, None, :]]


def looked_up(images: Tensor, values: Tensor) -> Tensor:
    """images (B, H, W, 3) uint8 -> (B, H, W, 3) float32: the value (256, 3) of each byte in its channel."""
    entry = images + torch.arange(0, 3 * 256, 256, dtype=torch.int32, device=images.device)
    return values.t().reshape(-1).index_select(0, entry.reshape(-1)).view(images.shape)


def mirrored(flip: Tensor, width: int) -> Tensor:
    """flip (B,), not 0 where an image is mirrored -> (B, W) int64: the column that each column shows."""
    columns = torch.arange(width, device=flip.device)
    return torch.where(flip[:, None] != 0, width - 1 - columns, columns)
