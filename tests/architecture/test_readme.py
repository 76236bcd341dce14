"""The README is true: its commands parse, its Python runs, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from csrms_dist.evaluation.report import LookAlike, pattern_lines
from ray_jobs.commands.cli import _parser
from ray_jobs.commands.closing import EXAMPLE
from ray_jobs.settings import settings_from

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, flags=re.DOTALL)
COMMANDS = [
    line.partition("   #")[0]
    for kind, block in BLOCKS
    if kind == "console"
    for line in block.splitlines()
    if line.startswith("csrms ")
]
PYTHON = [block for kind, block in BLOCKS if kind == "python"]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command: str) -> None:
    _parser().parse_args(shlex.split(command)[1:])


@pytest.mark.parametrize("text", [block for kind, block in BLOCKS if kind == "yaml"])
def test_configurations_are_legal(text: str) -> None:
    assert settings_from(yaml.safe_load(text)).name


def test_there_are_commands_and_examples() -> None:
    assert len(COMMANDS) > 8
    assert len(PYTHON) == 5


@pytest.mark.parametrize("block", [block for block in PYTHON if "ray_jobs" not in block])
def test_examples_of_the_core_run(block: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_the_pipeline_example_is_the_public_one() -> None:
    [block] = [block for block in PYTHON if "ray_jobs" in block]
    compile(block, "README.md", "exec")
    assert "from ray_jobs import run" in block


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", TEXT))))
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).is_file()


def test_the_sample_of_a_run_ends_as_a_run_does() -> None:
    [sample] = [block for kind, block in BLOCKS if kind == "text" and "Ask it" in block]
    facts = {
        "patterns": 64,
        "vigilance": 0.851,
        "hierarchy": {"dominated_patterns": 63, "mixed_patterns": 1, "outliers": 2},
    }
    pairs = [LookAlike("1", "8", 0.4, 6, [(31, 12, 2)])]
    *_, title, _ = pattern_lines(facts, pairs)
    assert f"\n{title}\n" in sample
    place, *asked = sample.splitlines()[-4:]
    assert re.fullmatch(r"Graph database: (/[\w-]+)+/runs/digits/store", place)
    questions = ["confused_classes", f"--cypher {shlex.quote(EXAMPLE)}"]
    assert asked == ["Ask it, for example", *(f"  csrms query {words} --run runs/digits" for words in questions)]
