"""The command line in this process: quick, for what goes wrong before any work starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ray_jobs.commands.cli import main
from tests.end_to_end.harness import Finished, prepare

Cli = Callable[..., Finished]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`cli("run", "x.yaml")` in a folder that holds the example's configuration."""
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run(*arguments: str) -> Finished:
        capsys.readouterr()
        code = main(arguments)
        captured = capsys.readouterr()
        return Finished(code, captured.out, captured.err, 0.0)

    return run
