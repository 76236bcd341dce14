"""Settings of every test: quiet, deterministic, the same on a laptop and in CI; and the session's one finished run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

# Before anything imports DGL or Ray. DGL would otherwise write a file into the home folder to remember its backend.
os.environ.setdefault("DGLBACKEND", "pytorch")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

# Tests of runs must not publish to the server of whoever runs them; those that need a server look for these.
os.environ.update(
    {f"TEST_NEO4J_{n}": os.environ.pop(f"NEO4J_{n}", "") for n in ("URI", "USERNAME", "PASSWORD", "DATABASE")}
)

import pytest
from hypothesis import HealthCheck, settings

from tests.end_to_end.harness import Run, finished_run

# A first call may compile a kernel or start a process, so a deadline would find nothing; pytest-timeout finds hangs.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI", "").lower() not in ("", "0", "false") else "local")

RUNNING = ("end_to_end", "extensions", "faults")
"""Folders whose tests start whole commands: one after the other, for they have the machine's cores to themselves."""

# Where the tests run in the background, Ctrl-C may be ignored, and the commands that they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What `csrms run` made of the digits. Nobody writes to it."""
    return finished_run(tmp_path_factory.getbasetemp())


@pytest.fixture
def copied(finished: Run, tmp_path: Path) -> Run:
    """A copy of it to go on from."""
    return finished.copy(tmp_path / "copied")


@pytest.hookimpl(wrapper=True)  # before pytest-xdist, which reads the groups in this hook too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """For several processes: a file's tests stay together; those that look at the finished run go first, in one."""

    def group(item: pytest.Item) -> str:
        fixtures: tuple[str, ...] = getattr(item, "fixturenames", ())
        return "runs" if "finished" in fixtures or item.path.parent.name in RUNNING else str(item.path)

    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: group(item) != "runs")
    yield
