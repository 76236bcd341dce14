"""A local Ray session is reachable from this machine alone, with its own token, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

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
    mode = ray._raylet.get_authentication_mode().name
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
        assert (mode, len(token)) == ("TOKEN", 64)
        assert folder.startswith(f"{home}/csrms-ray-")
        assert not still_there
        assert list(Path(home).iterdir()) == []
