"""The normaliser is arithmetic; given weights bring their own normalisation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from csrms_dist.encoders.normaliser import Normaliser, images_to_tensor, normalisation
from csrms_dist.encoders.settings import EncoderSettings
from csrms_dist.errors import ConfigError

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
OWN = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_the_normaliser_is_arithmetic() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 3), dtype=np.uint8)
    mean, std = [0.1, 0.5, 0.9], [0.2, 0.3, 0.4]
    found = Normaliser(mean, std)(images_to_tensor(pixels))
    assert found.shape == (2, 3, 3, 5)
    assert found.dtype == torch.float32
    for b, y, x, c in np.ndindex(pixels.shape):
        assert float(found[b, c, y, x]) == pytest.approx(
            (pixels[b, y, x, c] / 255 - mean[c]) / std[c], rel=1e-4, abs=1e-5
        )


@pytest.mark.parametrize(
    ("name", "weights", "expected"),
    [
        ("lenet5", "", OWN),
        ("resnet18", "some.safetensors", OWN),
        ("module:Class", "some.pt", OWN),
        ("efficientnet_lite0", "", OWN),
        ("efficientnet_lite0", "pretrained", HALF),
        ("efficientnet_lite0", "some.safetensors", HALF),
        ("timm:resnet10t", "", OWN),
        ("timm:resnet10t", "pretrained", IMAGENET),
        ("timm:resnet10t.c3_in1k", "some.pth", IMAGENET),
    ],
)
def test_given_weights_of_timm_expect_the_pixels_that_they_were_trained_with(
    name: str, weights: str, expected: tuple[tuple[float, ...], tuple[float, ...]]
) -> None:
    assert normalisation(EncoderSettings(name, weights), list(OWN[0]), list(OWN[1])) == expected


def test_the_normalisation_of_an_unknown_model_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"encoder\.name: got 'timm:resnet1000'"):
        normalisation(EncoderSettings("timm:resnet1000", "pretrained"), *OWN)
