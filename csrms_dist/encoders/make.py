"""`encoder.name` -> an encoder."""

from __future__ import annotations

import torch

from csrms_dist.basics.lookup import nearest
from csrms_dist.encoders.encoder import Encoder
from csrms_dist.encoders.foreign import (
    EFFICIENTNET_LITE0,
    TIMM,
    class_encoder,
    sides_of,
    timm_encoder,
    timm_name,
    unfit,
)
from csrms_dist.encoders.lenet5 import LeNet5
from csrms_dist.encoders.resnet18 import ResNet18
from csrms_dist.errors import ConfigError

NAMES = ("lenet5", "resnet18", EFFICIENTNET_LITE0)


def make_encoder(name: str, image_shape: tuple[int, int, int], seed: int) -> Encoder:
    """A freshly initialised encoder for images of shape (H, W, 3); its weights are a function of `seed` alone.

    Raises ConfigError when there is no such encoder or it cannot take such images.
    """
    if image_shape[2] != 3:
        raise ConfigError("encoder", got=f"images of {sides_of(image_shape)}", expected="three channels")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == "lenet5":
            if image_shape != (32, 32, 3):
                raise unfit(name, image_shape, "images of 32 x 32 x 3", "set data.image_size to 32")
            return LeNet5()
        if name == "resnet18":
            return ResNet18()
        if timm_name(name) or name == TIMM:
            return timm_encoder(name, image_shape)
        if ":" in name:
            return class_encoder(name, image_shape)
    raise ConfigError(
        "encoder.name", got=repr(name), expected=", ".join(NAMES) + ", timm:<model> or module:Class",
        remedy=f"the nearest is {nearest(name, NAMES)}",
    )  # fmt: skip
