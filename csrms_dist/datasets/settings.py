"""The section `data`."""

from __future__ import annotations

from dataclasses import dataclass

from csrms_dist.basics.settings import Settings, setting
from csrms_dist.datasets.layouts import LAYOUTS

SHARD_IMAGES = 65536


@dataclass(frozen=True)
class DataSettings(Settings):
    dataset: str = setting(
        "digits",
        words=LAYOUTS,
        own="csrms_dist.datasets.layouts.layout_format:KIND",
        doc="which images, or in which layout `data.path` holds them",
    )
    path: str = setting("", doc="the folder or file of the images; digits and digit_pairs need none")
    test_path: str = setting("", doc="the test images, where they lie apart; empty: found beside the training images")
    test_fraction: float = setting(0.2, "[0, 0.9]", doc="share of each class held out as test set where none is given")
    image_size: int | str = setting(
        "auto", "[8, 4096]", words=("auto",), doc="images become squares of this side; auto: the first one's own shape"
    )
    label_column: str = setting(
        "auto", words=("auto", "label", "labels", "none"), doc="auto: `labels` before `label`; none: no label is read"
    )
    on_duplicate_id: str = setting("error", words=("error", "suffix"), doc="suffix: a repeated id gets #2, #3, ...")
    val_fraction: float = setting(0.1, "[0, 0.5]", doc="share of each class held out of training, by a hash of the id")
    max_train: int = setting(
        0,
        "[0, 1000000000]",
        doc="about so many training images, by a hash of the id: the same share of each class, at least one; 0: all",
    )
    shard_images: int = setting(
        SHARD_IMAGES, "[1, 100000000]", doc="images in one file of an image table; a file is what one actor decodes"
    )
