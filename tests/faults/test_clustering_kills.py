"""Twenty actors and five drivers of a clustering are killed at random moments; what comes out is the same bytes."""

from __future__ import annotations

import contextlib
import json
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


LOST = """
import json, os, time

from ray_jobs.on_ray.session import ENVIRONMENT, LOCAL

for key, value in (ENVIRONMENT | LOCAL | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}).items():
    os.environ[key] = value
from ray.cluster_utils import Cluster

node = {"num_cpus": 2, "object_store_memory": 100 * 2**20}
cluster = Cluster(initialize_head=True, head_node_args={**node, "num_cpus": 0})
nodes = [cluster.add_node(**node) for _ in range(2)]
os.environ["RAY_ADDRESS"] = cluster.address
from ray_jobs.on_ray.actors import ActorPool
from ray_jobs.on_ray.session import ray_session


def where(n):
    import ray

    time.sleep(0.5)
    return n, ray.get_runtime_context().get_node_id()


def lose(number):
    if len(nodes) == 2:
        cluster.remove_node(nodes.pop(), allow_graceful=False)


with ray_session(4):
    pool = ActorPool(4, "cluster", "a run")
    before = pool.map(where, [(n,) for n in range(12)])
    after = pool.map(where, [(n,) for n in range(12)], lose)
    print(json.dumps([before, after, pool.replaced]))
cluster.shutdown()
"""


def test_actors_of_a_lost_node_leave_their_work_to_the_others(tmp_path: Path) -> None:
    """Four on two nodes of two CPUs: two find no room any more, and keep no task waiting."""
    (tmp_path / "lost.py").write_text(LOST)
    with Process([sys.executable, "lost.py"], tmp_path) as process:
        said = process.finish()
    assert said.code == 0, said.err
    before, after, replaced = json.loads(said.out.splitlines()[-1])
    assert len({node for _, node in before}) == 2  # spread
    assert [n for n, _ in after] == list(range(12))
    assert after[-1][1] in {node for _, node in before}
    assert replaced >= 1
