"""timm's models as encoders, and their pretrained weights with and without a hub."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from csrms_dist.encoders import timm_model
from csrms_dist.encoders.make import make_encoder
from csrms_dist.encoders.settings import EncoderSettings
from csrms_dist.encoders.weights import load_initial_weights
from csrms_dist.errors import ConfigError, DataError
from tests.unit.encoders.loading import assert_holds, load


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224", "convnext_atto", "mobilenetv3_small_050"])
def test_a_timm_model_without_its_classifier_is_an_encoder(name: str) -> None:
    side = 224 if name.startswith("vit") else 64
    encoder = make_encoder(f"timm:{name}", (side, side, 3), 0).eval()
    whole = timm.create_model(name, num_classes=3).eval()
    whole.load_state_dict(encoder.state_dict(), strict=False)
    images = torch.rand(2, 3, side, side)
    with torch.no_grad():
        features = encoder(images)
        assert features.shape == (2, encoder.dimension)
        torch.testing.assert_close(whole.get_classifier()(features), whole(images))


@pytest.mark.parametrize(
    ("name", "side", "message"),
    [
        ("timm:resnet1O", 32, r"encoder\.name: got 'timm:resnet1O', expected a model that timm knows; the nearest is "),
        ("timm:resnet18.a1_in2k", 32, r"'timm:resnet18\.a1_in2k', expected .* the nearest is timm:resnet18\.a1_in1k$"),
        ("timm:", 32, r"encoder\.name: got 'timm:', expected a model that timm knows"),
        ("timm:hf-hub:timm/resnet18.a1_in1k", 32, r"expected a model that timm knows"),
        (
            "timm:vit_tiny_patch16_224",
            32,
            r"'timm:vit_tiny_patch16_224' with images of 32 x 32 x 3, expected images of 224 x 224; set data\.image_si",
        ),
        ("timm:inception_v3", 32, r"an encoder that takes such images; it says 'RuntimeError: .*Kernel size"),
    ],
)
def test_a_timm_model_that_cannot_serve_is_refused(name: str, side: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_encoder(name, (side, side, 3), 0)


@pytest.mark.parametrize(("name", "model"), [("timm:resnet10t", "resnet10t"), ("timm:resnet10t", "resnet10t.c3_in1k")])
def test_the_classifier_of_a_timm_model_is_dropped(name: str, model: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    whole = timm.create_model(model, num_classes=7)
    save_file(whole.state_dict(), tmp_path / "model.safetensors")
    expected = {key: value for key, value in whole.state_dict().items() if not key.startswith("fc.")}
    assert_holds(load(name, tmp_path / "model.safetensors"), expected)


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
    monkeypatch.setattr(timm_model, "HUB_TIMEOUT_S", 0.3)
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
