"""Completion in shells: the words come from the parser, and the code of each shell is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphstore.queries import named_queries
from tests.end_to_end.harness import CLI, execute
from tests.unit.ray_jobs.conftest import Cli


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("csrms comp", {"completion"}),
        ("csrms query conf", {name for name in named_queries() if name.startswith("conf")}),
        ("csrms query --format p", {"parquet"}),
        ("csrms run x.yaml --no", {"--no-control"}),
    ],
)
def test_words(tmp_path: Path, line: str, words: set[str]) -> None:
    said = execute(
        CLI, tmp_path, _ARGCOMPLETE="1", COMP_LINE=line, COMP_POINT=str(len(line)), _ARGCOMPLETE_IFS="\n",
        _ARGCOMPLETE_STDOUT_FILENAME=str(tmp_path / "words"),
    )  # fmt: skip
    assert said.code == 0, said.err
    assert {word.strip() for word in (tmp_path / "words").read_text().splitlines()} == words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_code(cli: Cli, shell: str) -> None:
    said = cli("completion", shell)
    assert (said.code, said.err) == (0, "")
    assert "csrms" in said.out
