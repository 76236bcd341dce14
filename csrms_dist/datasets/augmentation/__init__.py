"""Augmentations by name: the words of `augmentation` in the sections `pretrain` and `train`, one file each.

An entry is an `augmentation.Augmentation`: what is drawn of each image, and how that is applied on the host and on a
device.
"""

from __future__ import annotations

from collections.abc import Mapping

NONE = "none"

AUGMENTATIONS: Mapping[str, str] = {
    NONE: "csrms_dist.datasets.augmentation.none:AUGMENTATION",
    "crop_flip": "csrms_dist.datasets.augmentation.crop_flip:AUGMENTATION",
    "resized_crop": "csrms_dist.datasets.augmentation.resized_crop:AUGMENTATION",
    "contrastive": "csrms_dist.datasets.augmentation.contrastive:AUGMENTATION",
}
