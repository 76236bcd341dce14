"""Settings of every test: quiet, deterministic, the same on a laptop and in CI; and the session's one finished run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before anything imports DGL or Ray. DGL would otherwise write a file into the home folder to remember its backend.
os.environ.setdefault("DGLBACKEND", "pytorch")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

# Tests of runs must not publish to the server of whoever runs them; those that need a server look for these.
os.environ.update(
    {f"TEST_NEO4J_{n}": os.environ.pop(f"NEO4J_{n}", "") for n in ("URI", "USERNAME", "PASSWORD", "DATABASE")}
)

os.environ.pop("CSRMS_CACHE", None)
os.environ.pop("CSRMS_CACHE_GB", None)
os.environ.pop("CSRMS_STORAGE_WAIT_S", None)

import pytest
from hypothesis import HealthCheck, settings

from tests.contract.s3_server import S3Server, s3_server
from tests.end_to_end.harness import Run, finished_run

# A first call may compile a kernel or start a process, so a deadline would find nothing; pytest-timeout finds hangs.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI", "").lower() not in ("", "0", "false") else "local")

RUNNING = ("/end_to_end/", "/extensions/", "/faults/test_kill", "/faults/test_interrupt", "/faults/test_every_stop",
           "/architecture/test_docs", "/architecture/test_light_start")  # fmt: skip
"""Tests that start whole commands or look at the finished run: one after the other, for a command wants both cores."""

# Where the tests run in the background, Ctrl-C may be ignored, and the commands that they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What `csrms run` made of the digits. Nobody writes to it."""
    return finished_run(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def bare(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same without its control. Nobody writes to it."""
    without = finished.copy(tmp_path_factory.mktemp("bare"))
    said = without.run("--no-control")
    assert said.done == ("evaluate",), said.err
    return without


@pytest.fixture
def copied(finished: Run, tmp_path: Path) -> Run:
    """A copy of it to go on from."""
    return finished.copy(tmp_path / "copied")


def _group(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return "runs" if any(place in file for place in RUNNING) else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of commands go first: they take longest."""
    items.sort(key=lambda item: _group(item.nodeid) != "runs")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """In several processes a file's tests stay together, and so do all tests of commands, in one."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return ByFile(config, log)
