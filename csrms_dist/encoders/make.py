"""`encoder.name` -> its architecture, and an encoder of it."""

from __future__ import annotations

import torch

from csrms_dist.basics.lookup import nearest, resolve
from csrms_dist.encoders import ENCODERS
from csrms_dist.encoders.architecture import Architecture
from csrms_dist.encoders.encoder import Encoder, ImageShape, sides_of
from csrms_dist.encoders.own_class import OwnClass
from csrms_dist.encoders.timm_model import TIMM, TimmModel
from csrms_dist.errors import ConfigError


def architecture_of(name: str) -> Architecture:
    """The architecture that `encoder.name` asks for; whether timm or the user has it shows when it is used.

    Raises ConfigError for a name of another form.
    """
    if name in ENCODERS:
        known: Architecture = resolve(ENCODERS[name])
        return known
    if name.startswith(TIMM):
        return TimmModel(name, name.removeprefix(TIMM))
    if ":" in name:
        return OwnClass(name)
    raise ConfigError(
        "encoder.name", got=repr(name), expected=", ".join(ENCODERS) + ", timm:<model> or module:Class",
        remedy=f"the nearest is {nearest(name, list(ENCODERS))}",
    )  # fmt: skip


def make_encoder(name: str, image_shape: ImageShape, seed: int) -> Encoder:
    """A freshly initialised encoder for images of shape (H, W, 3); its weights are a function of `seed` alone.

    Raises ConfigError when there is no such encoder or it cannot take such images.
    """
    if image_shape[2] != 3:
        raise ConfigError("encoder", got=f"images of {sides_of(image_shape)}", expected="three channels")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return architecture_of(name).make(image_shape)
