"""The session's finished run, and a copy of it to go on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.harness import Run, finished_run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished_run(tmp_path_factory.getbasetemp())


@pytest.fixture
def copied(finished: Run, tmp_path: Path) -> Run:
    return finished.copy(tmp_path / "copied")
