"""`csrms experiment`: what it runs, what it never reads, and that a killed one goes on to the same tables."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

SPEC = """
name: small
lr: [0.02, 0.05]
seeds: [1]
base: {data: {max_train: 120}, pretrain: {epochs: 1}, train: {epochs: 1}}
data: {digits: {data: {dataset: digits}}}
rows:
  plain CE: {method: {name: plain}}
  structural: {head: mean}
  kNN: {answers: knn, pretrain: {epochs: 2}}
"""


def command(folder: Path, *more: str) -> list[str]:
    (folder / "small.yaml").write_text(SPEC)
    out = ["--out", str(folder / "out"), "--jobs", "1"]
    return [sys.executable, "-m", "ray_jobs.commands.cli", "experiment", str(folder / "small.yaml"), *out, *more]


def outcomes(folder: Path) -> dict[str, Any]:
    """What was noted of each run, but for its times and places."""
    found = {}
    for path in sorted((folder / "out" / "outcomes").rglob("*.json")):
        noted = json.loads(path.read_text())
        place = str(path.relative_to(folder / "out"))
        found[place] = {key: value for key, value in noted.items() if key != "seconds"}
    return found


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    said = subprocess.run(command(folder), capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "## digits: 359 test images, 143 validation images" in said.stdout
    return folder


def test_the_runs_that_choose_the_lr_never_evaluate(done: Path) -> None:
    runs = list((done / "out" / "runs").glob("*/*/*"))
    searched = [path for path in runs if path.name.startswith("lr-")]
    assert len(searched) == 6
    assert not any((path / "evaluate").exists() or (path / "metrics.json").exists() for path in searched)
    assert all(noted["reads"] == 0 for place, noted in outcomes(done).items() if "/lr-" in place)


def test_passes_are_equal_and_each_test_set_is_read_once(done: Path) -> None:
    final = [noted for place, noted in outcomes(done).items() if "/seed-" in place]
    assert len(final) == 3
    assert {round(noted["passes"]) for noted in final} == {280}
    assert [noted["reads"] for noted in final] == [1, 1, 1]
    table = pq.read_table(done / "out" / "results.parquet")
    assert table.num_rows == 9
    assert "the encoder passes" not in (done / "out" / "tables.md").read_text()


def test_the_same_command_runs_nothing_again(done: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (done / "out" / "outcomes").rglob("*.json")}
    tables = (done / "out" / "tables.md").read_bytes()
    assert subprocess.run(command(done), capture_output=True, check=False).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in (done / "out" / "outcomes").rglob("*.json")} == before
    assert (done / "out" / "tables.md").read_bytes() == tables


@pytest.mark.slow
def test_other_settings_read_the_test_set_again_and_it_is_said(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done / "out", tmp_path / "out")
    again = command(tmp_path, "--set", "base.train.epochs=2", "--set", "rows.kNN.pretrain.epochs=3")
    said = subprocess.run(again, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    rows = [line for line in said.stdout.splitlines() if line.startswith(("| plain CE", "| structural", "| kNN"))]
    assert len(rows) == 3
    assert all("; its test set was read 2 times" in row for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 4, 7])
def test_killed_in_the_middle_it_goes_on_to_the_same_tables(done: Path, tmp_path: Path, after: int) -> None:
    """after: outcomes that are noted, of nine, when it is killed."""
    under_way = subprocess.Popen(
        command(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while under_way.poll() is None and len(outcomes(tmp_path)) < after:
        time.sleep(0.05)
    os.killpg(under_way.pid, signal.SIGKILL)
    under_way.wait()
    assert after <= len(outcomes(tmp_path)) < 9
    assert subprocess.run(command(tmp_path), capture_output=True, check=False).returncode == 0
    assert outcomes(tmp_path) == outcomes(done)
    assert (tmp_path / "out" / "tables.md").read_text() == (done / "out" / "tables.md").read_text()


@pytest.mark.slow
def test_two_at_a_time_give_the_same(done: Path, tmp_path: Path) -> None:
    said = subprocess.run([*command(tmp_path), "--jobs", "2"], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert outcomes(tmp_path) == outcomes(done)
