"""Every block of docs/inference.md, in its order, in a folder with a run and some images."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.run_contents import RunContents
from ray_jobs.commands.cli import main
from tests.end_to_end.harness import ROOM, ROOT, Run, execute

PAGE = (ROOT / "docs" / "inference.md").read_text()
BLOCKS = re.findall(r"^```(shell|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
N = 12


@pytest.fixture
def inside(copied: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where the page's commands are given."""
    images = RunContents(RunDirectory(copied.directory)).test_images
    (copied.folder / "photos").mkdir()
    for n, pixels in enumerate(images.pixels(np.arange(N))):
        Image.fromarray(pixels).save(copied.folder / "photos" / f"{n}.png")
    Image.fromarray(images.pixels(np.array([N]))[0]).save(copied.folder / "one.png")
    (copied.folder / "photos" / "broken.png").write_bytes(b"no image")
    monkeypatch.chdir(copied.folder)
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return copied.folder


@ROOM
def test_the_page_runs(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, "inference.md", "exec"), {})  # noqa: S102
        elif "|" in block:
            said = execute(("bash", "-euo", "pipefail", "-c", block), inside)
            assert said.code == 0, said.err
        else:
            for line in block.splitlines():
                program, *words = shlex.split(line)
                assert program == "pip" or main(words) == 0, capsys.readouterr().err
    torch.set_num_threads(threads)

    out = capsys.readouterr().out
    assert re.search(r"^one\.png \d 0\.\d+ (True|False)$", out, re.MULTILINE)
    found = re.findall(r"at most (\S+) off PyTorch's on 64 random images and 64 validation images", out)
    assert len(found) == 3
    assert all(0 <= float(number) < 1e-5 for number in found)
    assert float(out.split()[-1]) < 1e-5, "ONNX and the program of torch agree"

    assert re.search(r"^graph\.pt: HeteroData of [\d,]+ nodes", out, re.MULTILINE)
    assert re.search(r"^graph\.bin: a heterograph of [\d,]+ nodes", out, re.MULTILINE)
    rows = pq.read_table("answers.parquet").to_pylist()
    assert len(rows) == N + 2
    lines = [json.loads(line) for line in Path("lines.jsonl").read_text().splitlines()]
    assert sorted(row["id"] for row in rows) == sorted(["one.png", *(line["id"] for line in lines)])
    by_id = {row["id"]: row for row in rows}
    for line in lines:
        expected = by_id[line["id"]]
        assert line == expected, "the same bits in a pipe and in a file"
    assert [line["problem"] for line in lines if line["problem"]] == ["not an image in a known format"]
    mean = [json.loads(line) for line in Path("answers.jsonl").read_text().splitlines()]
    assert all(row["class"] == row["mean"] for row in mean)
    assert all(row["problem"] or len(row["graph_probabilities"]) == 10 for row in mean)
