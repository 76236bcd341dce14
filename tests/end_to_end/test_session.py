"""A local Ray session is reachable from this machine alone, with its own token, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SCRIPT = """
import json, os, psutil
from pathlib import Path
from ray_jobs.on_ray.session import ray_session
with ray_session(2):
    import ray
    assert ray.get(ray.remote(lambda: 1).remote()) == 1
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    places = [c.laddr.ip for p in processes for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    folder = ray._private.worker._global_node.get_session_dir_path()
    mode = os.environ["RAY_AUTH_MODE"]
print(json.dumps([places, folder, mode, os.environ.get("RAY_AUTH_TOKEN", ""), Path(folder).exists()]))
"""


def test_it_listens_on_localhost_alone_and_leaves_nothing() -> None:
    # A short home, which is the temporary folder too: paths of sockets may not be long.
    with tempfile.TemporaryDirectory(prefix="home-", dir="/tmp") as home:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False,
            env=environment | {"HOME": home, "TMPDIR": home},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        places, folder, mode, token, still_there = json.loads(done.stdout)
        assert places
        assert {place.removeprefix("::ffff:") for place in places} <= {"127.0.0.1", "::1"}
        assert done.stderr == ""
        assert (mode, len(token)) == ("token", 64)
        assert folder.startswith(f"{home}/csrms-ray-")
        assert not still_there
        assert list(Path(home).iterdir()) == []


WORK = """
import json, sys, time
from ray_jobs.on_ray.session import ray_session
begun = time.monotonic()
with ray_session(2):
    import ray
    started = time.monotonic() - begun
    print(json.dumps([sum(ray.get([ray.remote(lambda n: n * n).remote(n) for n in range(20)])), started]))
"""

FULL = """
import numpy as np
from ray_jobs.on_ray import session

session.OBJECT_STORE_BYTES = 80 * 1024**2
try:
    with session.ray_session(2):
        import ray
        kept = [ray.put(np.ones(20 * 1024**2, np.uint8)) for _ in range(20)]
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


def started(script: str, home: str, **variables: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=kept | {"HOME": home, "TMPDIR": home} | variables,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ["", "token", "disabled"])
def test_several_beside_each_other_do_not_meet(mode: str) -> None:
    with tempfile.TemporaryDirectory(prefix="home-", dir="/tmp") as home:
        variables = {"RAY_AUTH_MODE": mode} if mode else {}
        processes = [started(WORK, home, **variables) for _ in range(3)]
        for process in processes:
            out, err = process.communicate(timeout=600)
            # On a busy machine a start may take longer than Ray waits; it is tried once more.
            assert (process.returncode, err.replace("warning: Ray did not start; trying once more\n", "")) == (0, "")
            assert json.loads(out)[0] == sum(n * n for n in range(20))
        assert list(Path(home).iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_full_object_store_is_one_sentence() -> None:
    with tempfile.TemporaryDirectory(prefix="home-", dir="/tmp") as home:
        # Arrays that memory does not hold go to the disk, which Ray takes for full from this share on.
        process = started(FULL, home, RAY_local_fs_capacity_threshold="0.000001")
        out, _ = process.communicate(timeout=500)
        assert out.splitlines()[-1] == (
            "ClusterError: the disk of Ray's object store: got OutOfDiskError, expected room for the work's arrays; "
            "free some space, or set RAY_TMPDIR to a larger disk"
        )
        assert list(Path(home).iterdir()) == []
