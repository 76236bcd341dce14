"""Commands that compute nothing load nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "sklearn", "ray", "numba", "timm", "dgl"}

LOADED = """
import sys
from ray_jobs.commands.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
print("loaded", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""


def loaded_by(*arguments: str, folder: Path) -> set[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NEO4J_URI": ""}
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("command", ["--help", "--version", "query", "doctor", "run --help", "train --help"])
def test_what_computes_nothing_loads_nothing_heavy(command: str, tmp_path: Path) -> None:
    assert loaded_by(*command.split(), folder=tmp_path) & HEAVY == set()


@pytest.mark.parametrize("command", ["--help", "--version", "doctor"])
def test_the_lightest_load_no_arrays_either(command: str, tmp_path: Path) -> None:
    assert loaded_by(command, folder=tmp_path) & {"numpy", "pyarrow", "scipy", "pandas"} == set()


def test_a_question_to_the_graph_loads_neither_torch_nor_ray(finished: object, tmp_path: Path) -> None:
    run = str(finished.directory)  # type: ignore[attr-defined]
    loaded = loaded_by("query", "confused_classes", "--run", run, folder=tmp_path)
    assert loaded & HEAVY == set()
    assert "ladybug" in loaded, "it asked the embedded store"


def test_the_status_of_a_run_loads_neither_torch_nor_ray_nor_a_store(finished: object, tmp_path: Path) -> None:
    run = str(finished.directory)  # type: ignore[attr-defined]
    loaded = loaded_by("status", run, folder=tmp_path)
    assert loaded & {*HEAVY, "ladybug", "neo4j"} == set()
