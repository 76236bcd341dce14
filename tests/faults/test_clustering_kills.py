"""Twenty actors and five drivers of a clustering are killed at random moments; what comes out is the same bytes."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end.harness import ROOM, Process, title

pytestmark = [ROOM, pytest.mark.slow]

ACTORS, DRIVERS = 20, 5
# Clusters the rows in Ray actors, again and again until a file `enough` is there; a line for each time.
SCRIPT = """
import hashlib, sys, tempfile
from pathlib import Path

from csrms_dist.art import cluster
from csrms_dist.basics.settings import ClusterSettings
from ray_jobs.on_ray.actors import ActorPool
from ray_jobs.on_ray.session import ray_session

algorithm, work = sys.argv[1], Path(sys.argv[2])
settings = ClusterSettings(algorithm=algorithm, n_patterns=40, learn_rows=4000, shards=6)
with ray_session(4):
    pool = ActorPool(3)
    while True:
        found = cluster(Path("vectors.npy"), [f"row{n}" for n in range(ROWS)], settings, None, work, pool)
        with tempfile.TemporaryDirectory() as folder:
            found.save(Path(folder))
            digest = hashlib.sha256()
            for path in sorted(Path(folder).iterdir()):
                digest.update(path.name.encode() + path.read_bytes())
        print(digest.hexdigest(), pool.replaced, flush=True)
        if Path("enough").exists():
            break
"""
ROWS = 40_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(60, 48))
    rows = centres[rng.integers(0, 60, ROWS)] + 0.6 * rng.normal(size=(ROWS, 48))
    np.save(folder / "vectors.npy", rows.astype(np.float32))
    (folder / "again.py").write_text(SCRIPT.replace("ROWS", str(ROWS)))
    return folder


def run(folder: Path, algorithm: str) -> Process:
    return Process([sys.executable, "again.py", algorithm, f"work-{algorithm}"], folder)


def undisturbed(folder: Path, algorithm: str) -> str:
    (folder / "enough").touch()
    with run(folder, algorithm) as process:
        said = process.finish()
    (folder / "enough").unlink()
    assert said.code == 0, said.err
    return said.out.split()[0]


@pytest.mark.parametrize("algorithm", ["spherical", "fuzzy"])
def test_killed_actors_and_drivers_change_nothing(folder: Path, algorithm: str) -> None:
    started, draw = time.monotonic(), random.Random(algorithm)
    expected = undisturbed(folder, algorithm)
    # Seldom enough that no task meets all its kills one after the other, on a busy machine neither.
    pause = (time.monotonic() - started) / 3
    with run(folder, algorithm) as process:
        killed: set[int] = set()
        while len(killed) < ACTORS // 2:  # of each algorithm
            process.wait_until(lambda: bool(workers(process)), "an actor at work")
            time.sleep(draw.uniform(0.1, pause))
            for pid in draw.sample(found, 1) if (found := workers(process)) else []:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)  # a process that was killed may be seen for a moment more
        (folder / "enough").touch()
        said = process.finish()
    (folder / "enough").unlink()
    assert said.code == 0, said.err
    lines = [line.split() for line in said.out.splitlines()]
    assert {digest for digest, _ in lines} == {expected}
    assert int(lines[-1][1]) >= ACTORS // 2 - 3  # but for those that had nothing to do

    for _ in range(DRIVERS):
        with run(folder, algorithm) as process:
            process.wait_until(lambda: bool(workers(process)), "an actor at work")
            time.sleep(draw.uniform(0.0, 1.5))
            process.signal(signal.SIGKILL)
    assert undisturbed(folder, algorithm) == expected


def workers(process: Process) -> list[int]:
    """Actors that run a task."""
    return sorted(pid for pid in process.processes() if title(pid).startswith("ray::_Worker.run"))
