"""Encoders are a function of their seed; the normaliser is arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from csrms_dist.encoders import LeNet5, Normaliser, images_to_tensor, make_encoder
from csrms_dist.errors import ConfigError


def test_lenet5_has_the_shapes_of_the_paper() -> None:
    """LeCun et al. (1998), fig. 2: 28 x 28 after C1, 14 after S2, 10 after C3, 5 after S4, then 120, 84."""
    encoder = LeNet5()
    seen: dict[str, tuple[int, ...]] = {}
    for name, layer in encoder.named_children():
        layer.register_forward_hook(lambda _, __, out, name=name: seen.update({name: tuple(out.shape)}))
    features = encoder(torch.randn(2, 3, 32, 32))
    assert seen == {"conv1": (2, 6, 28, 28), "conv2": (2, 16, 10, 10), "fc1": (2, 120), "fc2": (2, 84)}
    assert features.shape == (2, encoder.dimension)
    assert bool((features >= 0).all())
    assert encoder(torch.zeros(0, 3, 32, 32)).shape == (0, 84)
    counts = {name: sum(p.numel() for p in layer.parameters()) for name, layer in encoder.named_children()}
    assert counts == {"conv1": 6 * 76, "conv2": 16 * 151, "fc1": 120 * 401, "fc2": 84 * 121}


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


def test_an_encoder_is_a_function_of_its_seed_and_leaves_the_stream_alone() -> None:
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first = make_encoder("lenet5", (32, 32, 3), 1)
    torch.rand(7)
    second, third = (make_encoder("lenet5", (32, 32, 3), seed) for seed in (1, 2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
        assert not torch.equal(value, third.state_dict()[name])
    torch.manual_seed(5)
    assert torch.equal(torch.random.get_rng_state(), state)
    make_encoder("lenet5", (32, 32, 3), 9)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        (
            "lenet5",
            (28, 28, 1),
            r"encoder\.name: got lenet5 with images of \(28, 28, 1\), expected images of 32 x 32 x 3",
        ),
        (
            "lenet",
            (32, 32, 3),
            r"encoder\.name: got 'lenet', expected lenet5, .* or module:Class; the nearest is lenet5",
        ),
    ],
)
def test_an_encoder_that_cannot_be_is_refused(name: str, shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_encoder(name, shape, 0)
