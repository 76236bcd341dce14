"""Runs the command line as a user does, in a process group of its own, and sees to it that nothing of it is left.

A finished run takes most of a minute, so one is made for the whole session and tests go on from copies of it: artefacts
are stamped with the fingerprint of their inputs, and what a test does not change is not made again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "examples/digits.yaml"
# Few epochs, and a learning rate at which so short a stage 0 does not make the loss jump about.
SMALL = ("--set", "pretrain.epochs=2", "--set", "train.epochs=5", "--set", "train.lr=0.01")
CLI = (sys.executable, "-m", "ray_jobs.commands.cli")
# A run takes 40 s on two idle cores and several times that on busy ones.
TIMEOUT_S = 600.0
# How long the children of a process that ended may take to notice.
VANISH_S = 30.0
# Two agents of Ray outlive a command that was killed: they try for a minute to tell its head that its raylet is gone.
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
TAG = "CSRMS_TEST_PROCESS"
ROOM = pytest.mark.timeout(900)
"""For tests that train: pytest's own limit is meant for hangs."""
STAGES = ("images", "pretrain", "features", "cluster", "graph", "train", "control", "evaluate")


@dataclass(frozen=True)
class Finished:
    """What a process left: its exit code, what it printed, how long it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def done(self) -> tuple[str, ...]:
        """The stages that it executed, from its lines of progress."""
        lines = [line.split() for line in self.err.splitlines()]
        return tuple(words[0] for words in lines if len(words) > 1 and words[0] in STAGES and words[1] == "done")

    @property
    def sentences(self) -> list[str]:
        """What it said on standard error beside progress."""
        return [
            line for line in self.err.splitlines() if line.strip() and line.split()[0] not in (*STAGES, "candidates")
        ]


class Process:
    """A command under way. Leaving the `with` block ends it and its descendants; `finish` demands that none is left.

    Descendants are found by a variable in their environment, for Ray starts some of them in sessions of their own.
    """

    def __init__(
        self, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._mark = f"{TAG}={uuid.uuid4().hex}"
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "NEO4J_", "CSRMS_"))}
        # The tests' own settings of warnings and coverage are not the user's.
        kept.pop("PYTHONWARNINGS", None)
        kept |= {"CI": "true", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"}
        self._out, self._err = folder / f".{uuid.uuid4().hex}.out", folder / f".{uuid.uuid4().hex}.err"
        self._started = time.monotonic()
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=folder,
                env=kept | dict(environment or {}) | dict([self._mark.split("=")]),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _ in range(3):
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._process.wait()
        for path in (self._out, self._err):
            path.unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    def processes(self) -> list[int]:
        """The processes of this command that live, itself included."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            # A zombie has an empty environment; one of another user cannot be read and is none of ours.
            with contextlib.suppress(OSError):
                if self._mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found

    def _left(self, tolerated: Sequence[str]) -> list[str]:
        """Titles of the processes that live, but for the tolerated."""
        titles = (title(pid) for pid in self.processes())
        return [title for title in titles if title and not title.startswith(tuple(tolerated))]

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the command, or to its whole group, as a terminal does at Ctrl-C."""
        (os.killpg if group else os.kill)(self._process.pid, number)

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_s: float = TIMEOUT_S) -> None:
        """Wait while the command works; fails when it ends before."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert self._process.poll() is None, f"ended before {what}: {self._err.read_text()}"
            assert time.monotonic() < deadline, f"no {what} in {timeout_s} s: {self._err.read_text()}"
            time.sleep(0.01)

    def finish(self, timeout_s: float = TIMEOUT_S) -> Finished:
        """Wait for the end, and for the end of every process that it started (of a killed one: but Ray's agents)."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still busy after {timeout_s} s: {self._err.read_text()}")
        seconds = time.monotonic() - self._started
        deadline = time.monotonic() + VANISH_S
        while (left := self._left(AGENTS if code == -signal.SIGKILL else ())) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not left, f"left behind: {left}"
        return Finished(code, self._out.read_text(), self._err.read_text(), seconds)


def title(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(bytes(1), b" ").decode(errors="replace").strip()
    return ""


def execute(command: Sequence[str | Path], folder: Path, timeout_s: float = TIMEOUT_S, **environment: str) -> Finished:
    """Run a command to its end."""
    with Process(command, folder, environment) as process:
        return process.finish(timeout_s)


def csrms(*arguments: str | Path, folder: Path, timeout_s: float = TIMEOUT_S, **environment: str) -> Finished:
    """Run one command of the command line to its end."""
    return execute((*CLI, *arguments), folder, timeout_s, **environment)


@dataclass(frozen=True)
class Run:
    """A folder with what `csrms run examples/digits.yaml` made, what the command said and where it was given."""

    folder: Path
    said: Finished
    said_in: Path

    @property
    def directory(self) -> Path:
        return self.folder / "runs" / "digits"

    def path(self, artefact: str) -> Path:
        return self.directory / artefact

    def json(self, name: str) -> Any:
        return json.loads((self.directory / name).read_text())

    def facts(self, stage: str) -> Any:
        """What a stage noted in its stamp."""
        return self.json(f"{stage}/stamp.json")["facts"]

    def copy(self, folder: Path) -> Run:
        """The same in another folder, with the files' times."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Run(folder, self.said, self.said_in)

    def remove(self, *artefacts: str) -> None:
        for artefact in artefacts:
            shutil.rmtree(self.directory / artefact)

    def run(self, *arguments: str, **environment: str) -> Finished:
        """`csrms run` with the session's settings, then `arguments`."""
        return csrms("run", CONFIG, *SMALL, *arguments, folder=self.folder, **environment)


def run_in(folder: Path, *arguments: str) -> Run:
    """A run from nothing."""
    prepare(folder)
    said = csrms("run", CONFIG, *SMALL, *arguments, folder=folder)
    assert said.code == 0, said.err
    return Run(folder, said, folder)


def prepare(folder: Path) -> None:
    """The example's configuration in an empty folder."""
    (folder / "examples").mkdir(parents=True)
    shutil.copy(ROOT / CONFIG, folder / CONFIG)


@functools.cache
def finished_run(session_folder: Path) -> Run:
    """The session's one finished run. Nobody writes to it: copy it."""
    return run_in(Path(tempfile.mkdtemp(prefix="finished-", dir=session_folder)))


def contents(folder: Path, *, skip: Sequence[str] = ()) -> dict[str, tuple[str, int]]:
    """Digest and time of change of every file below a folder."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in skip
    }


def digests(folder: Path, *, skip: Sequence[str] = ("stamp.json",)) -> dict[str, str]:
    """Digest of every file below a folder but the stamp, which knows how the files were made."""
    return {name: digest for name, (digest, _) in contents(folder, skip=skip).items()}


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested JSON as ('a.b', value)."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{prefix}{key}.")
    else:
        yield prefix.removesuffix("."), value
