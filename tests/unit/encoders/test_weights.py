"""Weights come into an encoder whole or not at all, whoever wrote the file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
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


ARGUMENTS = argparse.Namespace(lr=0.1, output=Path("runs"), classes=["cat"])
OTHER = {"conv1.weight": torch.zeros(1)}


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{key}": value for key, value in state.items()}


CHECKPOINTS: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "timm.pth.tar": lambda s: {
        "epoch": 3, "arch": "x", "state_dict": s, "args": ARGUMENTS, "metric": np.float64(91.5), "history": np.ones(3),
    },
    "timm_ema.pth.tar": lambda s: {"state_dict": OTHER, "state_dict_ema": s},
    "torchvision.pth": lambda s: {"model": OTHER, "model_ema": {"n_averaged": torch.tensor(3), **under("module.", s)}},
    "lightning.ckpt": lambda s: {
        "state_dict": {**under("model.backbone.", s), "loss.weight": torch.ones(3)}, "hyper_parameters": {"lr": 0.1},
        "pytorch-lightning_version": "2.4.0", "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}}],
    },
    "compiled.pt": lambda s: under("_orig_mod.", s),
    "compiled_parallel.pt": lambda s: {"model_state_dict": under("module._orig_mod.", s)},
    "compiled_inside.pt": lambda s: {"net": under("net._orig_mod.", s)},
    "quantiser.bin": lambda s: {**s, "conv1._extra_state": None},
}  # fmt: skip


@pytest.mark.parametrize("trainer", CHECKPOINTS)
def test_checkpoints_as_trainers_write_them(trainer: str, tmp_path: Path) -> None:
    state = state_of("lenet5")
    torch.save(CHECKPOINTS[trainer](state), tmp_path / trainer)
    assert_holds(load("lenet5", tmp_path / trainer), state)


def test_a_student_and_its_teacher_are_not_told_apart(tmp_path: Path) -> None:
    state = state_of("lenet5")
    torch.save(under("teacher.", state) | under("student.", state), tmp_path / "both.pt")
    with pytest.raises(
        DataError, match=r"the encoder 2 times, under student\. and teacher\., expected them once; save"
    ):
        load("lenet5", tmp_path / "both.pt")
    del state["conv1.bias"]
    torch.save(under("teacher.", state_of("lenet5")) | under("student.", state), tmp_path / "more.pt")
    assert_holds(load("lenet5", tmp_path / "more.pt"), state_of("lenet5"))  # one of them has more


def test_no_complaint_has_a_control_character_or_a_second_line(tmp_path: Path) -> None:
    for n, thing in enumerate([nn.Linear(2, 2), {"a": Own()}, Evil(), 3]):
        torch.save(thing, tmp_path / f"{n}.pt")
        with pytest.raises(DataError) as caught:
            load("lenet5", tmp_path / f"{n}.pt")
        assert str(caught.value).isprintable()


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
        ("a.onnx", b"x", ConfigError, r"a\.onnx', expected .* that ends in \.safetensors, \.pth, \.pt, \.pth\.tar,"),
        (
            "a.pth",
            b"",
            DataError,
            r"a\.pth: got a file that is damaged or that torch has not written, expected a weights file; write it",
        ),
        (
            "a.pth",
            b"what is this",
            DataError,
            r"a\.pth: got a file that is damaged or that torch has not written, expected a weights file; write it",
        ),
        ("a.safetensors", b"", DataError, r"a\.safetensors: got a file that is damaged or no safetensors, expected"),
        (
            "a.safetensors",
            b"what is this file?",
            DataError,
            r"a\.safetensors: got a file that is damaged or no safetensors, expected",
        ),
    ],
)
def test_what_is_no_weights_file_is_refused(
    name: str, content: bytes | None, kind: type[CsrmsError], message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(kind, match=message):
        load("lenet5", tmp_path / name)


class Own:
    """An object of a user's own."""


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
        (nn.Linear(2, 2), r"got the object torch\.nn\.modules\.linear\.Linear in it, .*expected a weights file"),
        ({"state_dict": Evil()}, r"got the object pathlib\.Path\.touch in it|got the object getattr in it"),
        (
            {"state_dict": {}, "hyper_parameters": {"loss": Own()}},
            r"got the object [\w.]*\.Own in it, which is neither",
        ),
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
