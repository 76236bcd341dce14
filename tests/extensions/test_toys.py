"""Adding is one file from outside and its name: a loss term, a strategy and a method, on digits, ours not edited."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from csrms_dist.errors import ConfigError
from csrms_dist.methods.known import METHODS
from ray_jobs import run
from tests.end_to_end.harness import CONFIG, ROOM, SMALL, Run, csrms

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("csrms_dist", "graphstore", "ray_jobs")

IMPORT_ALL = """
import importlib, pkgutil, sys
for package in sys.argv[1:]:
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if found.name != "csrms_dist.sampling.dgl_sampler":
            importlib.import_module(found.name)
from csrms_dist.errors import ConfigError
from csrms_dist.methods.known import METHODS
from ray_jobs import run
from ray_jobs.commands.cli import _parser
print(sorted(METHODS), len(_parser().format_help()) > 0)
"""


@pytest.fixture
def beside(copied: Run) -> Run:
    """A finished run with the user's file in the folder where commands are given."""
    shutil.copy(Path(__file__).with_name("toys.py"), copied.folder / "toys.py")
    return copied


@ROOM
def test_a_term_a_strategy_and_a_metric_of_the_users_own(beside: Run) -> None:
    before = beside.json("metrics.json")
    own = (
        "method.terms={toys:Shrink: 0.01}",
        "sampling.negatives=toys:next_other",
        "evaluate.more_metrics=toys:no_number",
    )
    said = beside.run(*(word for name in own for word in ("--set", name)))
    assert said.code == 0, said.err
    assert said.done == ("train", "evaluate"), "what the term and the strategy do not decide is not made again"
    metrics = beside.json("metrics.json")
    assert metrics["weights"] == {**before["weights"], "toys:Shrink": 0.01}
    assert "toys:Shrink" in beside.facts("train")["history"][0]
    assert metrics["more"]["test"]["plain"]["toys:no_number"] is None, "what is not finite is null"
    neighbours = np.load(beside.path("candidates/negative/neighbours.npy"))
    indptr = np.load(beside.path("candidates/negative/indptr.npy"))
    n = len(indptr) - 1
    row = next(row for row in range(n) if (row + 1) % n in neighbours[indptr[row] : indptr[row + 1]])
    assert neighbours[indptr[row]] == (row + 1) % n


@pytest.mark.slow  # tests/extensions/test_documented.py has one that runs through the command line every time
@ROOM
def test_a_method_of_the_users_own_runs_through_the_command_line_and_ray(beside: Run) -> None:
    chosen = ("--set", "method.name=toys:METHOD", "--set", "method.pull=0.2")
    said = csrms("run", CONFIG, *SMALL, *chosen, "--until", "centres", folder=beside.folder)
    assert (said.code, said.out) == (0, f"centres: done, {Path('runs/digits')}/centres\n"), said.err
    said = beside.run(*chosen, "--no-control")
    assert said.code == 0, said.err
    assert said.done == ("train", "evaluate")
    metrics = beside.json("metrics.json")
    assert (metrics["method"], metrics["pull"]) == ("toys:METHOD", 0.2)
    assert {"reading", "weights", "leak_check"}.isdisjoint(metrics)
    assert set(metrics["test"]) == {"plain"}
    assert metrics["test"]["plain"] > 0.8
    assert "pull" in beside.facts("train")["history"][0]
    assert "(method toys:METHOD, seed 0)" in said.out
    assert "graph head" not in said.out
    assert beside.json("train/model.json")["method"] == "toys:METHOD"
    planned = csrms("plan", CONFIG, *SMALL, *chosen, folder=beside.folder)
    assert planned.code == 0, planned.err
    assert "not in the plan, for there is no formula: centres" in planned.out.splitlines()
    answers = pq.read_table(beside.path("evaluate/predictions.parquet"))
    assert set(answers.column_names) == {"id", "label", "plain", "plain_probability"}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("method.name=toys:NOTHING", ("method.name: got 'toys:NOTHING'", "a MethodSpec of toys", "METHOD")),
        ("method.name=nowhere:METHOD", ("method.name: got 'nowhere:METHOD'", "nowhere.py must lie in")),
        (
            "method.name=csrm",
            ("method.name: got 'csrm'", "'csrms', 'plain'", "module:name of your own; the nearest is csrms"),
        ),
        ("method.terms={toys:Shrink: -1}", ("method.terms", "a number in [0, 100]")),
        ("method.terms={toys:NOTHING: 1}", ("method.terms: got 'toys:NOTHING'", "a losses.term.Term of toys")),
        ("sampling.negatives=toys:nothing", ("sampling.negatives: got 'toys:nothing'", "nearest is toys:next_other")),
        ("method.name=toys:NUMBER", ("method.name: got 'toys:NUMBER', expected a MethodSpec of toys",)),
        ("method.terms={toys:NUMBER: 1}", ("method.terms: got 'toys:NUMBER'", "a losses.term.Term of toys")),
        ("method.terms={toys:NeedsMore: 1}", ("method.terms: got 'toys:NeedsMore'", "made without arguments")),
        ("method.reading=toys:NUMBER", ("method.reading: got 'toys:NUMBER', expected a Reading of toys",)),
        ("method.smoother=toys:NUMBER", ("method.smoother: got 'toys:NUMBER'", "torch.nn.Module of toys")),
        ("sampling.negatives=toys:NUMBER", ("sampling.negatives: got 'toys:NUMBER'", "(graph, features, queries,")),
        ("cluster.algorithm=toys:NUMBER", ("cluster.algorithm: got 'toys:NUMBER', expected an Algorithm of toys",)),
        ("data.dataset=toys:NUMBER", ("data.dataset: got 'toys:NUMBER', expected a LayoutFormat of toys",)),
        ("evaluate.control=toys:NUMBER", ("evaluate.control: got 'toys:NUMBER', expected a MethodSpec of toys",)),
        ("evaluate.more_metrics=toys:NUMBER", ("evaluate.more_metrics: got 'toys:NUMBER'", "(scores, membership,")),
        ("evaluate.more_metrics=accuracyy", ("evaluate.more_metrics: got 'accuracyy'", "the nearest is accuracy")),
        ("encoder.name=toys:Nothing", ("encoder.name: got 'toys:Nothing'", "torch.nn.Module")),
    ],
)
def test_what_is_not_there_is_said_before_the_first_stage(
    override: str, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with pytest.raises(ConfigError) as said:
        run(ROOT / CONFIG, tmp_path / "run", (override,))
    assert all(word in str(said.value) for word in words), str(said.value)
    assert not (tmp_path / "run").exists()


@ROOM
@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "method.terms={toys:Failing: 1}",
            r"your own code in toys.py, line \d+: got 'ZeroDivisionError: the user's own'",
        ),
        ("sampling.negatives=toys:out_of_range", r"sampling.negatives: neighbour: got 1295..1295, expected .*0..1294"),
    ],
)
def test_a_part_that_fails_is_named_in_a_sentence(beside: Run, override: str, sentence: str) -> None:
    said = beside.run("--set", override, "--no-control")
    assert said.code == 2, said.err
    assert re.search(sentence, said.sentences[-1]), said.err
    assert "Traceback" not in said.err


def test_without_the_method_the_rest_imports(tmp_path: Path) -> None:
    """methods/csrms and its entry taken out: nothing else names it."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(tmp_path / "csrms_dist" / "methods" / "csrms")
    known = tmp_path / "csrms_dist" / "methods" / "known.py"
    without, taken = re.subn(r'"csrms": "[^"]+",?', "", known.read_text())
    assert taken == 1
    known.write_text(without)
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *PACKAGES], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{sorted(set(METHODS) - {'csrms'})} True\n"
