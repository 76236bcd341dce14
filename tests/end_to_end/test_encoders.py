"""A class of the user's own goes through every stage, with a weights file named relative to the command's folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.end_to_end.harness import CONFIG, ROOM, execute, prepare

MODULE = """
from torch import nn

class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3072, 30)

    def forward(self, images):
        return self.layer(images.view(len(images), -1)).relu()
"""


@ROOM
@pytest.mark.slow
def test_a_class_beside_the_configuration_with_its_weights(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "own_encoder.py").write_text(MODULE)
    generator = torch.Generator().manual_seed(0)
    given = {
        "layer.weight": torch.randn(30, 3072, generator=generator) / 50,
        "layer.bias": torch.randn(30, generator=generator),
    }
    save_file(given, tmp_path / "start.safetensors")
    chosen = (
        "encoder.name=own_encoder:Linear",
        "encoder.weights=start.safetensors",
        "pretrain.epochs=1",
        "pretrain.lr=1.0e-7",
        "train.epochs=1",
    )
    words = [word for setting in chosen for word in ("--set", setting)]
    # As the installed command does, without the folder on the path.
    command = (Path(sys.executable).with_name("csrms"), "run", CONFIG, *words, "--no-control")
    said = execute(command, tmp_path)
    assert said.code == 0, said.err
    run = tmp_path / "runs" / "digits"
    stage_0 = load_file(run / "pretrain" / "weights.safetensors")
    for name, value in given.items():
        torch.testing.assert_close(
            stage_0[f"encoder.{name}"], value, rtol=0, atol=1e-4
        )  # Ray's workers hardly moved it
    exported, whole = (load_file(run / "train" / f"{name}.safetensors") for name in ("encoder", "weights"))
    assert exported.keys() == given.keys()
    for name, value in exported.items():
        assert torch.equal(value, whole[f"encoder.{name}"])
        assert not torch.equal(value, given[name])
