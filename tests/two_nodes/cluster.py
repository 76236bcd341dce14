"""A Ray cluster of several nodes on this machine, with token authentication; its processes are ended by their ids."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.end_to_end.harness import ROOT, Finished, Process, csrms, execute, title

BIN = Path(sys.executable).parent
START_S = 180.0
STORE_BYTES = 200 * 1024**2


def free_ports(n: int) -> list[int]:
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [server.getsockname()[1] for server in servers]


class Cluster:
    """A head and the nodes that were added. runs: the folder that all nodes share. elsewhere: a client's folder."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._stack, self._folder = stack, folder
        self.runs, self.elsewhere = folder / "shared", folder / "elsewhere"
        self.runs.mkdir()
        self.elsewhere.mkdir()
        self.token = secrets.token_hex(32)
        self.token_path = folder / "token"
        self.token_path.write_text(self.token)
        port, dashboard, client = free_ports(3)
        self.gcs, self.address = f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}"
        self.nodes: list[Process] = []
        self._start(
            "--head", f"--port={port}", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}",
            "--num-cpus=1",
        )  # fmt: skip

    @property
    def access(self) -> dict[str, str]:
        """The variables of whoever may use it."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token_path)}

    def add_node(self, cpus: int = 1) -> Process:
        return self._start(f"--address={self.gcs}", f"--num-cpus={cpus}")

    def _start(self, *arguments: str) -> Process:
        [agent] = free_ports(1)
        # As on machines of their own: in a common folder a node would lay out anew the files of a job that another node
        # runs already. Sockets lie below it, whose paths must be short.
        own = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
        self._stack.callback(shutil.rmtree, own, ignore_errors=True)
        command = (
            BIN / "ray", "start", "--block", "--node-ip-address=127.0.0.1", "--disable-usage-stats",
            f"--object-store-memory={STORE_BYTES}", "--min-worker-port=0", "--max-worker-port=0",
            f"--dashboard-agent-listen-port={agent}", f"--temp-dir={own}", *arguments,
        )  # fmt: skip
        # A variable of a node is one of its jobs: that is how CSRMS_RUNS comes to them.
        environment = self.access | {
            "PYTHONPATH": str(ROOT), "HOME": str(self._folder), "CSRMS_RUNS": str(self.runs),
            "RAY_worker_niceness": "0",
        }  # fmt: skip
        node = self._stack.enter_context(Process(command, self._folder, environment))
        self._stack.callback(end, node)
        self.nodes.append(node)
        alive = sum(bool(some.processes()) for some in self.nodes)
        node.wait_until(lambda: self.n_alive() >= alive, "a node that is there", START_S)
        return node

    def n_alive(self) -> int:
        """How many nodes the head knows of; 0 where it does not answer."""
        request = urllib.request.Request(  # noqa: S310 (http://127.0.0.1)
            f"{self.address}/nodes?view=summary", headers={"Authorization": f"Bearer {self.token}"}
        )
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            summary = json.load(answer)["data"]["summary"]
            return sum(node["raylet"].get("state") == "ALIVE" for node in summary)
        return 0

    def csrms(self, *arguments: str | Path, **environment: str) -> Finished:
        """A command of a client elsewhere."""
        return csrms(*arguments, folder=self.elsewhere, **(self.access | environment))

    def submit(self, *arguments: str, **environment: str) -> Finished:
        return self.csrms("submit", *arguments, "--address", self.address, **environment)

    def ray(self, *arguments: str, folder: Path) -> Finished:
        """Ray's own command line, in a folder."""
        return execute((BIN / "ray", *arguments), folder, **self.access, RAY_API_SERVER_ADDRESS=self.address)

    def jobs(self) -> list[dict[str, Any]]:
        said = self.csrms("jobs", "--address", self.address, "--format", "json")
        assert said.code == 0, said.err
        listed: list[dict[str, Any]] = json.loads(said.out)
        return listed

    def titled(self, text: str) -> list[int]:
        """The processes of all nodes whose title has this text."""
        return [pid for node in self.nodes for pid in node.processes() if text in title(pid)]

    def kill(self, node: Process, titled: str, number: int = signal.SIGKILL) -> None:
        """End the processes of a node whose title has this text; there must be one."""
        found = [pid for pid in node.processes() if titled in title(pid)]
        assert found, [title(pid) for pid in node.processes()]
        for pid in found:
            os.kill(pid, number)


def end(node: Process) -> None:
    """End a node and all that it started: a title that Ray gives a process writes over the mark of the harness."""
    __import__("ray")  # brings psutil
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        started = psutil.Process(node.pid)
        for process in (*started.children(recursive=True), started):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(folder, stack)


def wait_for(condition: Any, what: str, timeout_s: float = 300.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"no {what} in {timeout_s} s"
        time.sleep(0.05)
