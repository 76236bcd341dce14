"""`csrms export`: its exit codes, and that its help knows every form without loading any."""

from __future__ import annotations

import pytest

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.export import EXPORTS
from ray_jobs.commands.cli import main
from tests.unit.ray_jobs.conftest import Cli


def test_the_help_names_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["export", "--help"])
    assert stopped.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"{', '.join(EXPORTS)}, or module:name of your own" in out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("runs/nowhere", "--as", "onnx", "--out", "x.onnx"), 4, "runs/nowhere: got no run.json in it"),
        (("here", "--as", "onx", "--out", "x.onnx"), 2, "--as: got 'onx'"),
        (("here", "--as", "torch", "--out", "x.onnx"), 2, "--out: got 'x.onnx', expected a name that ends in .pt2"),
        (("here", "--as", "torch", "--out", "no/x.pt2"), 4, "--out: got 'no/x.pt2'"),
        (("here", "--as", "torch", "--out", "x.pt2"), 4, "here has no artefact 'train'"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(cli: Cli, words: tuple[str, ...], code: int, said: str) -> None:
    RunDirectory("here").write_json("run.json", {})
    found = cli("export", *words)
    assert found.code == code
    [sentence] = found.err.splitlines()
    assert sentence.startswith(f"csrms export: {said}")


@pytest.mark.parametrize("words", [(), ("here",), ("here", "--as", "onnx"), ("here", "--out", "x.onnx")])
def test_form_and_place_are_asked_for(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["export", *words])
    assert stopped.value.code == 2
    assert "required" in capsys.readouterr().err
