"""The commands and the health check of deploy/compose.ray.yaml, without containers: the same words, other ports."""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

pytest.importorskip("ray")
import psutil  # it comes with Ray

from ray_jobs.on_ray.session import LOCAL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

COMPOSED = yaml.safe_load((Path(__file__).resolve().parents[2] / "deploy" / "compose.ray.yaml").read_text())["services"]
BIN = Path(sys.executable).parent
AGENT = "52365"
"""The port that the health check asks."""


def free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def running(words: list[str], environment: dict[str, str], log: Path) -> Iterator[psutil.Process]:
    """A command with all that it starts, ended at the end."""
    with log.open("w") as said:
        process = psutil.Popen(words, env=environment, stdout=said, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        family = [*process.children(recursive=True), process]
        for member in family:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
        process.wait(timeout=30)
        psutil.wait_procs(family, timeout=30)


def healthy(service: str, port: int, environment: dict[str, str]) -> bool:
    kind, *words = COMPOSED[service]["healthcheck"]["test"]
    assert (kind, words[0]) == ("CMD", "python")
    assert AGENT in words[-1]
    words = [sys.executable, *(word.replace(AGENT, str(port)) for word in words[1:])]
    # Docker hands a check the environment of its service; this one needs no token.
    environment = {name: value for name, value in environment.items() if name != "RAY_AUTH_TOKEN"}
    return subprocess.run(words, capture_output=True, env=environment, check=False, timeout=60).returncode == 0


def wait_until(service: str, port: int, environment: dict[str, str], state: bool, log: Path) -> None:
    end = time.monotonic() + 240
    while healthy(service, port, environment) != state:
        assert time.monotonic() < end, f"{service} is not {'healthy' if state else 'unhealthy'}: {log.read_text()}"
        time.sleep(1)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder for Ray's sockets, whose paths must not be longer than about a hundred characters."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def test_head_and_worker_start_take_a_job_and_say_how_they_are(tmp_path: Path, short: Path) -> None:
    gcs, dashboard, agent, other_agent, client = free_ports(5)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0", "CSRMS_RUNS": str(tmp_path / "runs"),
        # On a busy machine Ray's processes take longer to start than Ray allows.
        **{name: value for name, value in LOCAL.items() if name.endswith(("_wait_time_s", "_timeout_ms", "_seconds"))},
    }  # fmt: skip
    head = shlex.split(COMPOSED["head"]["command"].replace("--port=6379", f"--port={gcs}"))
    head += [
        f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}",
        f"--temp-dir={short}",
    ]  # fmt: skip
    worker = shlex.split(COMPOSED["worker"]["command"].replace("head:6379", f"127.0.0.1:{gcs}"))
    worker += [f"--dashboard-agent-listen-port={other_agent}"]
    assert not healthy("head", agent, environment)
    head_log, worker_log = tmp_path / "head.log", tmp_path / "worker.log"
    with running(head, environment, head_log):
        wait_until("head", agent, environment, True, head_log)
        with running(worker, environment, worker_log) as worker_process:
            wait_until("worker", other_agent, environment, True, worker_log)

            submit = ["ray", "job", "submit", f"--address=http://127.0.0.1:{dashboard}", "--"]
            wrong = {**environment, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
            command = [*submit, "csrms", "doctor"]
            refused = subprocess.run(command, env=wrong, capture_output=True, text=True, check=False, timeout=120)
            assert refused.returncode != 0
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
            assert "succeeded" in done.stdout, done.stdout + done.stderr

            (raylet,) = [p for p in worker_process.children(recursive=True) if p.name() == "raylet"]
            raylet.send_signal(signal.SIGKILL)
            wait_until("worker", other_agent, environment, False, worker_log)
            assert healthy("head", agent, environment)
