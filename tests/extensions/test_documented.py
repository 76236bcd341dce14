"""Every file of docs/extending.md, as it stands there, in runs from a folder of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.end_to_end.harness import ROOM, ROOT, Run

FILES = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^`(?:csrms run my\.yaml )?(--set .*)`$", re.MULTILINE)


@pytest.fixture
def beside(copied: Run) -> Run:
    """A finished run with the page's files in the folder where commands are given."""
    for name, text in FILES.findall((ROOT / "docs" / "extending.md").read_text()):
        (copied.folder / name).write_text(text)
    return copied


def settings() -> list[list[str]]:
    """The settings of each command of the page."""
    lines = COMMANDS.findall((ROOT / "docs" / "extending.md").read_text())
    return [[word.strip("'") for word in re.findall(r"--set ('[^']*'|\S+)", line)] for line in lines]


def test_the_page_has_a_file_and_a_command_for_each_part() -> None:
    files = [name for name, _ in FILES.findall((ROOT / "docs" / "extending.md").read_text())]
    assert files == ["my_term.py", "my_smoother.py", "my_strategy.py", "my_control.py", "my_method.py"]
    for name, given in zip(files, settings(), strict=True):
        assert Path(name).stem in given[0]


@ROOM
def test_term_smoother_strategy_and_control_run_together(beside: Run) -> None:
    given = [word for some in settings()[:4] for word in some]
    said = beside.run(*(word for setting in given for word in ("--set", setting)))
    assert said.code == 0, said.err
    assert said.done == ("train", "control", "evaluate")
    history = beside.facts("train")["history"]
    assert history[-1]["my_term:Nearer"] > 0
    assert "noisy" in beside.facts("control")["history"][0]
    assert beside.json("train/model.json")["options"]["smoother"] == "my_smoother:Median"
    metrics = beside.json("metrics.json")
    assert metrics["test"]["plain"] > 0.5
    assert metrics["test"]["graph"] > 0.2
    assert "my_control:NOISY control" in said.out


@ROOM
def test_the_method_runs(beside: Run) -> None:
    said = beside.run(*(word for setting in settings()[4] for word in ("--set", setting)), "--no-control")
    assert said.code == 0, said.err
    assert beside.json("metrics.json")["method"] == "my_method:METHOD"
    assert beside.facts("train")["history"][0]["pull"] > 0
