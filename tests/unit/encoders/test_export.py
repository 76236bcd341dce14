"""Saved weights serve without this project: in timm and in the encoder's own class."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from csrms_dist.encoders import LeNet5, ResNet18
from csrms_dist.encoders.export import encoder_weights, load_encoder, save_encoder
from csrms_dist.encoders.make import make_encoder
from csrms_dist.encoders.settings import EncoderSettings
from csrms_dist.encoders.weights import load_initial_weights


def trained(name: str, side: int, n_classes: int) -> tuple[nn.Module, nn.Linear]:
    """An encoder whose weights and running statistics are not initial ones, and a head."""
    encoder = make_encoder(name, (side, side, 3), 1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for _ in range(2):
            encoder(torch.randn(4, 3, side, side, generator=generator))
    torch.manual_seed(3)
    return encoder.eval(), nn.Linear(encoder.dimension, n_classes)


@pytest.mark.parametrize(
    ("name", "model", "side"),
    [
        ("efficientnet_lite0", "tf_efficientnet_lite0", 64),
        ("timm:resnet10t", "resnet10t", 64),
        ("timm:resnet10t.c3_in1k", "resnet10t.c3_in1k", 64),
        ("timm:vit_tiny_patch16_224", "vit_tiny_patch16_224", 224),
        ("timm:convnext_atto", "convnext_atto", 64),  # its classifier is head.fc
        ("timm:dla46x_c", "dla46x_c", 64),  # its classifier is a convolution
    ],
)
def test_timm_loads_the_whole_classifier_and_answers_the_same(name: str, model: str, side: int, tmp_path: Path) -> None:
    encoder, head = trained(name, side, 7)
    save_encoder(tmp_path / "encoder.safetensors", name, encoder, head)
    other = timm.create_model(model, num_classes=7, checkpoint_path=str(tmp_path / "encoder.safetensors")).eval()
    images = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        torch.testing.assert_close(other(images), head(encoder(images)), rtol=1e-5, atol=1e-6)
        if name != "timm:dla46x_c":
            assert torch.equal(other(images), head(encoder(images)))


@pytest.mark.parametrize(("name", "kind"), [("lenet5", LeNet5), ("resnet18", ResNet18), ("torch.nn:Flatten", None)])
def test_other_encoders_load_their_own_tensors(name: str, kind: type[nn.Module] | None, tmp_path: Path) -> None:
    encoder, head = trained(name, 32, 3)
    save_encoder(tmp_path / "encoder.safetensors", name, encoder, head)
    other = (kind() if kind else nn.Flatten()).eval()
    other.load_state_dict(load_file(tmp_path / "encoder.safetensors"))
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(other(images), encoder(images))


@pytest.mark.parametrize("name", ["timm:deit_tiny_distilled_patch16_224", "timm:shvit_s1"])
def test_a_classifier_of_more_than_one_layer_is_left_out(name: str, tmp_path: Path) -> None:
    """Two heads (DeiT), a normalisation in the head (SHViT): the encoder's tensors alone."""
    encoder, head = trained(name, 224, 3)
    save_encoder(tmp_path / "encoder.safetensors", name, encoder, head)
    found = load_file(tmp_path / "encoder.safetensors")
    assert found.keys() == encoder.state_dict().keys()
    timm.create_model(name.removeprefix("timm:"), num_classes=0).load_state_dict(found)


def test_what_was_saved_is_a_weights_file_of_the_encoder(tmp_path: Path) -> None:
    for name in ("lenet5", "efficientnet_lite0", "timm:resnet10t"):
        encoder, head = trained(name, 32, 5)
        path = tmp_path / "encoder.safetensors"
        save_encoder(path, name, encoder, head)
        again = make_encoder(name, (32, 32, 3), 9)
        load_initial_weights(again, EncoderSettings(name, str(path)))
        for key, value in encoder.state_dict().items():
            assert torch.equal(value, again.state_dict()[key])


@pytest.mark.parametrize("name", ["lenet5", "efficientnet_lite0", "timm:resnet10t", "timm:vit_tiny_patch16_224"])
def test_the_encoder_comes_back_without_its_head(tmp_path: Path, name: str) -> None:
    encoder, head = trained(name, 224 if "vit" in name else 32, 5)
    save_encoder(tmp_path / "e.safetensors", name, encoder, head)
    found, expected = load_encoder(tmp_path / "e.safetensors", name), encoder.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_the_tensors_are_copies_without_gradients_in_a_fixed_order() -> None:
    encoder, head = trained("timm:resnet10t", 32, 5)
    found: dict[str, Tensor] = encoder_weights("timm:resnet10t", encoder.to(memory_format=torch.channels_last), head)
    assert list(found) == sorted(found)
    assert all(value.is_contiguous() and not value.requires_grad for value in found.values())
    assert torch.equal(found["fc.weight"], head.weight)
    assert torch.equal(found["fc.bias"], head.bias)
