"""Weights come into an encoder whole or not at all, whoever wrote the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from csrms_dist.encoders.settings import EncoderSettings
from csrms_dist.encoders.weights import load_initial_weights
from csrms_dist.errors import ConfigError, CsrmsError, DataError
from tests.unit.encoders.loading import assert_holds, encoder_of, load, state_of


def test_no_weights_leaves_the_encoder_as_it_is() -> None:
    assert_holds(load("efficientnet_lite0", ""), encoder_of("efficientnet_lite0").state_dict())


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "efficientnet_lite0", "timm:resnet10t"])
@pytest.mark.parametrize("layout", ["own.safetensors", "own.pth", "wrapped.pt", "parallel.pth", "csrms.safetensors"])
def test_weights_come_back_from_every_layout(name: str, layout: str, tmp_path: Path) -> None:
    state = state_of(name)
    if layout.startswith("csrms"):
        content = {f"encoder.{key}": value for key, value in state.items()} | {"plain_head.weight": torch.ones(2, 2)}
    elif layout.startswith("parallel"):
        content = {f"module.{key}": value for key, value in state.items()}
    else:
        content = dict(state)
    path = tmp_path / layout
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save({"epoch": 3, "state_dict": content} if layout.startswith("wrapped") else content, path)
    assert_holds(load(name, path), state)


def test_a_classifier_of_another_number_of_classes_is_dropped_from_resnet18(tmp_path: Path) -> None:
    state = state_of("resnet18")
    torch.save(state | {"fc.weight": torch.ones(100, 512), "fc.bias": torch.ones(100)}, tmp_path / "cifar100.pth")
    assert_holds(load("resnet18", tmp_path / "cifar100.pth"), state)


def _cut(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.startswith("conv")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_cut, r"got 4 missing: conv1\.weight, conv1\.bias, conv2\.weight and 1 more, expected the 8 tensors"),
        (lambda s: s | {"fc3.bias": torch.ones(1)}, r"got 1 unexpected: fc3\.bias, expected the 8 tensors"),
        (
            lambda s: s | {"fc2.bias": torch.ones(10)},
            r"got 1 of another shape: fc2\.bias \(10,\) for \(84,\), expected",
        ),
        (lambda s: s | {"fc2.bias": s["fc2.bias"] / 0}, r"got 1 not finite: fc2\.bias, expected"),
        (lambda s: _cut(s) | {"x": torch.ones(1)}, r"got 4 missing: .*; 1 unexpected: x, expected"),
        (lambda s: {"x": torch.ones(1)}, r"got 8 missing: .*; 1 unexpected: x, expected the 8 tensors of the encoder"),
    ],
)
def test_tensors_that_do_not_fit_are_named_and_nothing_is_loaded(change: object, message: str, tmp_path: Path) -> None:
    assert callable(change)
    save_file(change(state_of("lenet5")), tmp_path / "w.safetensors")
    encoder = encoder_of("lenet5")
    with pytest.raises(DataError, match=message) as caught:
        load_initial_weights(encoder, EncoderSettings("lenet5", str(tmp_path / "w.safetensors")))
    assert str(caught.value).startswith(str(tmp_path / "w.safetensors"))
    assert_holds(encoder, encoder_of("lenet5").state_dict())


@pytest.mark.parametrize(
    ("name", "content", "kind", "message"),
    [
        ("gone.pth", None, ConfigError, r"gone\.pth', which is not there, expected 'pretrained' or an existing file"),
        ("a.onnx", b"x", ConfigError, r"a\.onnx', expected .* that ends in \.safetensors, \.pth, \.pt$"),
        ("a.pth", b"", DataError, r"a\.pth: got '.*', expected a weights file; write it with"),
        ("a.pth", b"what is this", DataError, r"a\.pth: got '.*', expected a weights file; write it with"),
        ("a.safetensors", b"", DataError, r"a\.safetensors: got '.*', expected a weights file"),
        ("a.safetensors", b"what is this file?", DataError, r"a\.safetensors: got '.*', expected a weights file"),
    ],
)
def test_what_is_no_weights_file_is_refused(
    name: str, content: bytes | None, kind: type[CsrmsError], message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(kind, match=message):
        load("lenet5", tmp_path / name)


class Evil:
    """What unpickling would run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("executed"),))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        ([torch.ones(2)], "got a list of something else, expected named tensors"),
        ({}, "got a dict of something else, expected named tensors"),
        ({"conv1.weight": 3}, "got a dict of something else, expected named tensors"),
        (nn.Linear(2, 2), "expected a weights file"),
        ({"state_dict": Evil()}, "expected a weights file"),
    ],
)
def test_a_pickle_of_something_else_is_refused_and_not_executed(
    thing: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(thing, tmp_path / "a.pt")
    with pytest.raises(DataError, match=message):
        load("lenet5", tmp_path / "a.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "torch.nn:Flatten"])
def test_encoders_without_pretrained_weights_say_so(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"'pretrained' with {name}, expected efficientnet_lite0 or timm:<model>"):
        load(name, "pretrained")
