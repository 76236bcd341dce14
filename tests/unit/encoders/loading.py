"""Encoders of every kind, weights that none of them has, and loading one into the other."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from csrms_dist.encoders.encoder import Encoder
from csrms_dist.encoders.make import make_encoder
from csrms_dist.encoders.settings import EncoderSettings
from csrms_dist.encoders.weights import load_initial_weights

SIDES = {"lenet5": 32, "resnet18": 8, "efficientnet_lite0": 32, "timm:resnet10t": 32, "torch.nn:Flatten": 4}


def encoder_of(name: str, seed: int = 0) -> Encoder:
    return make_encoder(name, (SIDES[name], SIDES[name], 3), seed)


def state_of(name: str, seed: int = 1) -> dict[str, Tensor]:
    """Weights that no fresh encoder has, running statistics included."""
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.rand(value.shape, generator=generator) if value.is_floating_point() else value + 3
        for key, value in encoder_of(name).state_dict().items()
    }


def load(name: str, path: Path | str) -> Encoder:
    encoder = encoder_of(name)
    load_initial_weights(encoder, EncoderSettings(name, str(path)))
    return encoder


def assert_holds(encoder: Encoder, state: dict[str, Tensor]) -> None:
    own = encoder.state_dict()
    assert own.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(own[key], value), key
