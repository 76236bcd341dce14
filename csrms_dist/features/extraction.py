"""Encoder over an image table -> feature rows, in fixed ranges of the dense index.

A block is always `batch_size` images, the last one padded, so that an image's feature has the same bytes whoever
computes it and however many workers there are.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from csrms_dist.basics.arrays import F32, I64, U8
from csrms_dist.basics.devices import put
from csrms_dist.datasets.image_table import ImageTable
from csrms_dist.encoders.normaliser import images_to_tensor
from csrms_dist.errors import DataError

THREADS = 1
"""Of torch in every process that encodes or trains: equal bytes need equal numbers of threads."""


def encode_pixels(
    encoder: nn.Module,
    normalise: nn.Module,
    pixels: U8,
    batch_size: int,
    *,
    blank: bool = False,
    device: torch.device | str = "cpu",
) -> F32:
    """(B, H, W, 3) uint8 -> (B, D) float32, in padded blocks.

    `blank` replaces every image by zeros after normalisation. No image at all gives (0, D). device: where the encoder
    and the normaliser are.
    """
    parts = []
    encoder.eval()
    with torch.inference_mode():
        for start in range(0, max(len(pixels), 1), batch_size):
            block = pixels[start : start + batch_size]
            padded = np.zeros((batch_size, *pixels.shape[1:]), np.uint8)
            padded[: len(block)] = block
            images = normalise(put(images_to_tensor(padded), device))
            features = encoder(torch.zeros_like(images) if blank else images)
            parts.append(features[: len(block)].to(torch.float32).cpu().numpy())
    joined: F32 = np.concatenate(parts)
    return joined


def encode_range(
    encoder: nn.Module,
    normalise: nn.Module,
    table: ImageTable,
    indices: I64,
    batch_size: int,
    device: torch.device | str = "cpu",
) -> F32:
    """(B,) dense indices -> (B, D) float32. Raises DataError when the encoder answers NaN or infinity."""
    starts = range(0, max(len(indices), 1), batch_size)
    blocks = (table.pixels(indices[n : n + batch_size]) for n in starts)
    parts = [encode_pixels(encoder, normalise, block, batch_size, device=device) for block in blocks]
    features: F32 = np.concatenate(parts)
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        name = table.ids[int(indices[np.flatnonzero(~finite)[0]])]
        raise DataError(
            f"feature of '{name}'", got="NaN or infinity", expected="finite numbers",
            remedy="the encoder has diverged: lower pretrain.lr",
        )  # fmt: skip
    return features
