"""Augmentations by name: the words of `augmentation` in the sections `pretrain` and `train`, one file each.

An augmentation is a function (images, indices, draw, values, out): (B, H, W, 3) uint8, their dense indices (B,), a
`draws.Draw` and the value (256, 3) of each byte in each channel -> out (B, H, W, 3), of the type of `values`.
"""

from __future__ import annotations

from collections.abc import Mapping

NONE = "none"

AUGMENTATIONS: Mapping[str, str] = {
    NONE: "csrms_dist.datasets.augmentation.none:as_they_are",
    "crop_flip": "csrms_dist.datasets.augmentation.crop_flip:crop_flip",
    "resized_crop": "csrms_dist.datasets.augmentation.resized_crop:resized_crop",
    "contrastive": "csrms_dist.datasets.augmentation.contrastive:contrastive",
}
