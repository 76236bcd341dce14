"""A local Ray session is reachable from this machine alone."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, psutil
from ray_jobs.on_ray.session import ray_session
with ray_session(2):
    import ray
    assert ray.get(ray.remote(lambda: 1).remote()) == 1
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    places = [c.laddr.ip for p in processes for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
print(json.dumps(places))
"""


def test_it_listens_on_localhost_alone() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    places = json.loads(done.stdout)
    assert places
    assert {place.removeprefix("::ffff:") for place in places} <= {"127.0.0.1", "::1"}
    assert done.stderr == ""
