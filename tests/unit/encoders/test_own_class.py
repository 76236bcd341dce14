"""Importable classes as encoders."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from csrms_dist.encoders.encoder import Encoder
from csrms_dist.encoders.make import make_encoder
from csrms_dist.errors import ConfigError

MODULE = """
import torch
from torch import nn

class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.out = nn.LazyLinear(5)
    def forward(self, x):
        x = self.conv(x)
        return self.out(x.view(len(x), -1))

class Stated(Flat):
    dimension = 5

class Misstated(Flat):
    dimension = 6

class Map(nn.Module):
    def forward(self, x):
        return x

class Pair(nn.Module):
    def forward(self, x):
        return x, x

class One(nn.Module):
    def forward(self, x):
        return x.flatten()[None]

class Picky(nn.Module):
    def forward(self, x):
        raise ValueError("odd\\nimages only")

class Needy(nn.Module):
    def __init__(self, width):
        super().__init__()

class Plain:
    pass

def function():
    return Flat()
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module in the working directory, which is not on sys.path, and a broken one."""
    name = f"own_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / f"{name}_broken.py").write_text("import no_such_package_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", os.getcwd())])  # noqa: PTH109
    yield name
    sys.modules.pop(name, None)


@pytest.mark.parametrize("kind", ["Flat", "Stated"])
def test_a_class_of_the_working_directory_is_an_encoder(written: str, kind: str) -> None:
    first, same, other = (make_encoder(f"{written}:{kind}", (8, 6, 3), seed) for seed in (1, 1, 2))
    assert first.dimension == 5
    assert first.training
    assert list(first.state_dict()) == ["conv.weight", "conv.bias", "out.weight", "out.bias"]
    for key, value in first.state_dict().items():
        assert torch.equal(value, same.state_dict()[key])
        assert not torch.equal(value, other.state_dict()[key])
    images = torch.rand(7, 8, 6, 3).permute(0, 3, 1, 2)  # channels last in memory, as tables give them
    features = first(images)
    assert features.shape == (7, 5)
    features.sum().backward()
    assert all(parameter.grad is not None for parameter in first.parameters())


def test_an_encoder_class_of_the_library_can_be_named_too() -> None:
    with pytest.raises(ConfigError, match=r"the nearest is csrms_dist\.encoders:LeNet5$"):
        make_encoder("csrms_dist.encoders:LeNet", (32, 32, 3), 4)
    encoder = make_encoder("csrms_dist.encoders:LeNet5", (32, 32, 3), 4)
    assert isinstance(encoder, Encoder)
    for key, value in make_encoder("lenet5", (32, 32, 3), 4).state_dict().items():
        assert torch.equal(value, encoder.state_dict()[key])


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (":Misstated", r"the attribute dimension of '.*:Misstated': got 6, expected 5, the width of its answers"),
        (":Map", r"the answer of '.*:Map' to two images: got torch.float32 \(2, 3, 8, 6\), .* shape \(2, D\)"),
        (":Pair", r"the answer of '.*:Pair' to two images: got tuple, expected a float tensor of shape \(2, D\)"),
        (":One", r"the answer of '.*:One' to two images: got torch.float32 \(1, 288\), expected"),
        (":Picky", r"with images of 8 x 6 x 3, .* such images; it says 'ValueError: odd images only'"),
        (":Needy", r"'.*:Needy', whose making says 'TypeError: .*width.*', expected a class that is called without"),
        (":Plain", r"got '.*:Plain', expected a class of own_\d+ that is a torch\.nn\.Module; the nearest is own_\d+:"),
        (":function", r"got '.*:function', expected a class of own_\d+ that is a torch\.nn\.Module"),
        (":Flaat", r"got '.*:Flaat', expected .*; the nearest is own_\d+:Flat$"),
        (":", r"got '.*:', expected a class of own_"),
        ("_gone:Flat", r"'ModuleNotFoundError: No module named 'own_\d+_gone'', .*; own_\d+_gone\.py must lie in /"),
        ("_broken:Flat", r"whose import says 'ModuleNotFoundError: No module named 'no_such_package_at_all''"),
    ],
)
def test_a_class_that_cannot_serve_is_refused(written: str, what: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_encoder(written + what, (8, 6, 3), 0)
