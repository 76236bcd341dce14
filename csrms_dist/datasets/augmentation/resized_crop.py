"""A box of 8 to 100 % of the image, resized to the whole of it, half of them flipped (Szegedy et al., 2015)."""

from __future__ import annotations

from typing import Any

import numpy as np

from csrms_dist.basics.arrays import I64, U8
from csrms_dist.datasets.augmentation.boxes import resized
from csrms_dist.datasets.augmentation.draws import Draw

LEAST = 0.08
_RESIZED_CROP = 0x7265637270


def resized_crop(images: U8, indices: I64, draw: Draw, values: Any, out: Any) -> None:
    """`values` must be linear in the byte, as a normaliser's are: what lies between two bytes has no entry."""
    scale = ((values[255] - values[0]) / 255).astype(np.float32)
    resized(images, draw.words(_RESIZED_CROP, indices), LEAST, scale, values[0], out)
