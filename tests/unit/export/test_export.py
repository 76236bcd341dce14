"""Exported models answer as the run does, on images that the export did not see; what would not is not written."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.encoders import Normaliser
from csrms_dist.errors import ConfigError, CsrmsError, MissingDependencyError, RunDirectoryError
from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.export import EXPORTS, plain_path
from csrms_dist.export.write import export
from csrms_dist.methods.saved_model import ModelCard, make_model, save_apart

NAMES = ("cat", "dog", "été")
ENDINGS = {"timm": ".safetensors", "safetensors": ".safetensors", "onnx": ".onnx", "torch": ".pt2"}
ENCODERS = [
    ("lenet5", 32, {"adapter": "mlp", "multi_label": True}),
    pytest.param("resnet18", 8, {}, marks=pytest.mark.slow),
    pytest.param("timm:resnet10t", 32, {}, marks=pytest.mark.slow),
    pytest.param("efficientnet_lite0", 32, {}, marks=pytest.mark.slow),
    pytest.param("timm:test_vit", 160, {}, marks=pytest.mark.slow),
]


def run_of(folder: Path, encoder: str, side: int, **card: Any) -> RunDirectory:
    """A run with a model whose weights are not those of training, but whose answers differ from image to image."""
    run = RunDirectory(folder)
    card_ = ModelCard(encoder, (side, side, 3), (0.5, 0.4, 0.3), (0.2, 0.3, 0.25), NAMES, **card)
    model = make_model(card_, 0)
    images = Normaliser(card_.mean, card_.std)(torch.from_numpy(pictures(side, 16, seed=1)))
    with torch.no_grad():
        model.train()
        for half in (images[:8], images[8:]):  # statistics of batch norm that are not initial ones
            model(half)
        logits = model.eval()(images)
        model.plain_head.weight.div_(logits.std(dim=0)[:, None])
        model.plain_head.bias.sub_(logits.mean(dim=0)).div_(logits.std(dim=0))
    with run.writing("train", "f") as staged:
        save_apart(staged, card_, model.state_dict())
    return run


def pictures(side: int, n: int, seed: int) -> np.ndarray:
    """(N, H, W, 3) uint8: noise, brighter in some than in others."""
    random = np.random.default_rng(seed)
    return (random.integers(0, 256, (n, side, side, 3)) * random.random((n, 1, 1, 3))).astype(np.uint8)


def onnx_answers(path: Path, pixels: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    [found] = session.run(["probabilities"], {"images": pixels})
    return found


def torch_answers(path: Path, pixels: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return torch.export.load(path).module()(torch.from_numpy(pixels)).numpy()


def printed(said: str, pixels: np.ndarray) -> np.ndarray:
    """What the code that the command prints answers, run where the file is."""
    code = said.partition("\n\n")[2]
    names = {"images": torch.from_numpy(pixels)}
    exec(compile(code, "printed", "exec"), names)  # noqa: S102
    return names["probabilities"].numpy()


def same(run: RunDirectory, answers: Callable[[np.ndarray], np.ndarray], side: int) -> None:
    pixels = pictures(side, 9, seed=7)
    expected = Classifier(run.open("train")).predict(pixels).plain
    assert expected.std(axis=0).min() > 0.05, "images are told apart"
    for n in (1, 2, 9):
        np.testing.assert_allclose(answers(pixels[:n]), expected[:n], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("encoder", "side", "card"), ENCODERS)
def test_every_form_answers_as_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str, side: int, card: dict[str, Any]
) -> None:
    run = run_of(tmp_path / "run", encoder, side, **card)
    monkeypatch.chdir(tmp_path)
    forms = [form for form in ENDINGS if form != "timm" or (encoder not in ("lenet5", "resnet18"))]
    said = {form: export(run, form, f"x-{form}{ENDINGS[form]}") for form in forms}
    assert all("off PyTorch's on 64 random images" in text for text in said.values())
    same(run, lambda pixels: onnx_answers(Path("x-onnx.onnx"), pixels), side)
    same(run, lambda pixels: torch_answers(Path("x-torch.pt2"), pixels), side)
    same(run, lambda pixels: printed(said["safetensors"], pixels), side)
    if "timm" in said:
        same(run, lambda pixels: printed(said["timm"], pixels), side)


def test_timm_loads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path / "run", "timm:resnet10t", 32)
    monkeypatch.chdir(tmp_path)
    said = export(run, "timm", "x.safetensors")
    assert 'timm.create_model("resnet10t", num_classes=3, checkpoint_path="x.safetensors")' in said
    same(run, lambda pixels: printed(said, pixels), 32)


def test_the_answers_and_the_facts_in_the_files(small: RunDirectory, tmp_path: Path) -> None:
    for form in ("onnx", "torch", "safetensors"):
        export(small, form, tmp_path / f"x{ENDINGS[form]}")
    same(small, lambda pixels: onnx_answers(tmp_path / "x.onnx", pixels), 32)
    same(small, lambda pixels: torch_answers(tmp_path / "x.pt2", pixels), 32)
    found = {item.key: item.value for item in onnx.load(tmp_path / "x.onnx").metadata_props}
    assert json.loads(found["class_names"]) == list(NAMES)
    assert json.loads(found["image_size"]) == [32, 32]
    assert json.loads(found["mean"]) == [0.5, 0.4, 0.3]
    assert (found["colour_order"], found["encoder"], found["adapter"]) == ("RGB", "lenet5", "none")
    assert found["made_by"].startswith("csrms-dist ")
    [image] = onnxruntime.InferenceSession(tmp_path / "x.onnx").get_inputs()
    assert (image.name, image.type, image.shape) == ("images", "tensor(uint8)", ["N", 32, 32, 3])
    texts = {"csrms.json": ""}
    torch.export.load(tmp_path / "x.pt2", extra_files=texts)
    assert json.loads(texts["csrms.json"]) == found
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", **found}


@pytest.mark.parametrize(
    ("encoder", "side", "card", "got"),
    [
        ("lenet5", 32, {}, "the encoder lenet5, which is not one of timm's"),
        ("timm:resnet10t", 32, {"adapter": "mlp"}, "a head on the adapter 'mlp', which timm's model has no place for"),
        ("timm:shvit_s1", 64, {}, "the encoder timm:shvit_s1, on which timm has more than one linear layer"),
    ],
)
def test_what_timm_cannot_load(tmp_path: Path, encoder: str, side: int, card: dict[str, Any], got: str) -> None:
    run = run_of(tmp_path / "run", encoder, side, **card)
    with pytest.raises(ConfigError) as caught:
        export(run, "timm", tmp_path / "x.safetensors")
    assert (caught.value.got, caught.value.remedy) == (got, "use --as safetensors, onnx or torch")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return run_of(tmp_path_factory.mktemp("small"), "lenet5", 32)


def test_every_form_has_a_test() -> None:
    assert ENDINGS.keys() <= EXPORTS.keys()


@pytest.mark.parametrize(("form", "ending"), ENDINGS.items())
def test_an_ending_that_misleads(small: RunDirectory, tmp_path: Path, form: str, ending: str) -> None:
    with pytest.raises(ConfigError, match=rf"--out: got 'x\.bin', expected a name that ends in \{ending}"):
        export(small, form, tmp_path / "x.bin")


def test_a_form_that_is_not_there(small: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--as: got 'onx', expected one of timm, .*; the nearest is onnx"):
        export(small, "onx", tmp_path / "x.onnx")


def test_a_form_of_ones_own(small: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_form.py").write_text(
        "def names(run, out):\n    out.mkdir()\n    (out / 'x').write_text(run.uri)\n    return 'a folder'\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert export(small, "my_form:names", "mine") == "mine: a folder"
    assert Path("mine/x").read_text() == small.uri
    with pytest.raises(RunDirectoryError, match="--out: got 'mine', a folder that is there, expected a place for"):
        export(small, "my_form:names", "mine")


def test_places_that_cannot_be_written(small: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"--out: got '.*nowhere/x\.pt2', expected a file in a folder that"):
        export(small, "torch", tmp_path / "nowhere" / "x.pt2")
    with pytest.raises(RunDirectoryError, match="has no artefact 'train'"):
        export(RunDirectory(tmp_path / "none"), "torch", tmp_path / "x.pt2")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package(small: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        MissingDependencyError, match=rf"needs the package {package}: .*pip install 'csrms-dist\[export"
    ):
        export(small, "onnx", tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


ODD = """
import torch

class Forked(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(48, 4)

    def forward(self, images):
        found = self.layer(images.flatten(1))
        return {branch}
"""


def odd_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, branch: str) -> RunDirectory:
    """Of an encoder of the user's own."""
    (tmp_path / "odd_encoder.py").write_text(ODD.format(branch=branch))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_encoder", raising=False)
    return run_of(tmp_path / "run", "odd_encoder:Forked", 4)


@pytest.mark.parametrize("form", [pytest.param("onnx", marks=pytest.mark.slow), "torch"])
def test_a_file_that_would_answer_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    run = odd_run(tmp_path, monkeypatch, "found + 1 if torch.compiler.is_compiling() else found")
    out = tmp_path / f"x{ENDINGS[form]}"
    out.write_text("what was there")
    with pytest.raises(
        CsrmsError, match=r"got probabilities that are up to \S+ off the run's on 64 random images, exp"
    ):
        export(run, form, out)
    assert out.read_text() == "what was there"
    assert not list(tmp_path.glob(".x*"))
    odd_run(tmp_path, monkeypatch, "found")
    sys.modules.pop("odd_encoder")
    export(run, form, out)
    assert out.read_bytes()[:4] != b"what"


def test_an_encoder_that_cannot_be_traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = odd_run(tmp_path, monkeypatch, "found if found.sum().item() > 0 else -found")
    with pytest.raises(ConfigError, match=r"--as torch: got the encoder odd_encoder:Forked, of which .* says '.*; use"):
        export(run, "torch", tmp_path / "x.pt2")


def test_a_clear_winner_that_changes_is_a_failure_however_near() -> None:
    expected = np.array([[0.5006, 0.4994], [0.50002, 0.49998]], np.float32)
    assert plain_path._difference(expected, expected[:, ::-1].copy()) == np.inf
    assert plain_path._difference(expected[1:], expected[1:, ::-1].copy()) == pytest.approx(4e-5, rel=0.01)
    assert plain_path._difference(expected, expected[:, :1]) == np.inf
    assert np.isnan(plain_path._difference(expected, expected * np.nan))


def test_a_model_too_large_for_a_file(small: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csrms_dist.export.onnx_file.MOST", 1000)
    with pytest.raises(
        ConfigError, match=r"--as onnx: got a model of 0\.0 GiB, expected less than 2, .*; use --as torch"
    ):
        export(small, "onnx", tmp_path / "x.onnx")
