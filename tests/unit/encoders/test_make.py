"""Encoders are functions of name and seed, train deterministically, and what cannot be is refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from csrms_dist.encoders import ENCODERS as KNOWN
from csrms_dist.encoders.architecture import Architecture
from csrms_dist.encoders.encoder import has_batch_norm
from csrms_dist.encoders.make import architecture_of, make_encoder
from csrms_dist.errors import ConfigError

ENCODERS = [("lenet5", 32, 84), ("resnet18", 16, 512), ("efficientnet_lite0", 64, 1280), ("timm:resnet10t", 32, 512)]


ENTRY = """
from csrms_dist.encoders.architecture import BuiltIn
from csrms_dist.encoders.encoder import Encoder

class Flat(Encoder):
    dimension = 48
    def forward(self, images):
        return images.flatten(1)

FLAT = BuiltIn("flat", Flat, image_shape=(4, 4, 3))
"""


@pytest.mark.parametrize(("name", "side", "dimension"), ENCODERS)
def test_an_encoder_is_a_function_of_its_seed_and_leaves_the_stream_alone(name: str, side: int, dimension: int) -> None:
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first = make_encoder(name, (side, side, 3), 1)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(7)
    second, third = (make_encoder(name, (side, side, 3), seed) for seed in (1, 2))
    assert first.state_dict().keys() == second.state_dict().keys() == third.state_dict().keys()
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key])
    drawn = [key for key, value in first.named_parameters() if value.ndim > 1]
    assert len(drawn) >= 4
    assert not any(torch.equal(first.state_dict()[key], third.state_dict()[key]) for key in drawn)
    first.eval()
    assert first.dimension == dimension
    assert first(torch.randn(2, 3, side, side)).shape == (2, dimension)


@pytest.mark.parametrize(("name", "side", "dimension"), ENCODERS)
def test_training_an_encoder_twice_gives_the_same_bytes(name: str, side: int, dimension: int) -> None:
    images = torch.randn(6, 3, side, side, generator=torch.Generator().manual_seed(0))
    kept = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        trained = []
        for _ in range(2):
            encoder = make_encoder(name, (side, side, 3), 3)
            assert encoder.training
            optimiser = torch.optim.SGD(encoder.parameters(), lr=0.01)
            for _ in range(2):
                optimiser.zero_grad()
                features = encoder(images)
                (features - features.detach().mean(dim=0) - 1).square().mean().backward()
                optimiser.step()
            trained.append(encoder.state_dict())
    finally:
        torch.use_deterministic_algorithms(kept)
    before = make_encoder(name, (side, side, 3), 3).state_dict()
    for key, value in trained[0].items():
        assert torch.equal(value, trained[1][key]), key
    moved = [key for key in before if not torch.equal(before[key], trained[0][key])]
    assert len(moved) > len(before) / 2


def test_batch_normalisation_is_found() -> None:
    found = {name: has_batch_norm(make_encoder(name, (side, side, 3), 0)) for name, side, _ in ENCODERS}
    assert found == {"lenet5": False, "resnet18": True, "efficientnet_lite0": True, "timm:resnet10t": True}
    assert not has_batch_norm(nn.Sequential(nn.SyncBatchNorm(3), nn.GroupNorm(1, 3)))
    assert has_batch_norm(nn.Sequential(nn.Sequential(nn.BatchNorm1d(3))))


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        (
            "lenet5",
            (28, 28, 3),
            r"encoder\.name: got 'lenet5' with images of 28 x 28 x 3, expected images of 32 x 32 x 3; "
            r"set data\.image_size to 32",
        ),
        ("resnet18", (28, 28, 1), r"encoder: got images of 28 x 28 x 1, expected three channels"),
        ("lenet", (32, 32, 3), r"encoder\.name: got 'lenet', expected lenet5, .* module:Class; the nearest is lenet5"),
        ("", (32, 32, 3), r"encoder\.name: got '', expected lenet5, resnet18, efficientnet_lite0, timm:<model> or mod"),
        (
            "efficientnet_lite0",
            (96, 100, 3),
            r"'efficientnet_lite0' with images of 96 x 100 x 3, expected sides that are multiples of 32; "
            r"set data\.image_size to 32, 64, 96",
        ),
    ],
)
def test_an_encoder_that_cannot_be_is_refused(name: str, shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_encoder(name, shape, 0)


@pytest.mark.parametrize("name", KNOWN)
def test_every_entry_is_an_architecture_of_its_name(name: str) -> None:
    found = architecture_of(name)
    assert isinstance(found, Architecture)
    assert found.name == name


def test_an_encoder_is_one_file_and_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flat_encoder.py").write_text(ENTRY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("csrms_dist.encoders.make.ENCODERS", {**KNOWN, "flat": "flat_encoder:FLAT"})
    assert make_encoder("flat", (4, 4, 3), 0).dimension == 48
    with pytest.raises(ConfigError, match="'flat' with images of 5 x 4 x 3, expected images of 4 x 4 x 3"):
        make_encoder("flat", (5, 4, 3), 0)
    with pytest.raises(ConfigError, match=r"got 'flt', .*, flat, timm:<model> or module:Class; the nearest is flat"):
        make_encoder("flt", (4, 4, 3), 0)
