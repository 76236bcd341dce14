"""The folder of a server: conf/, data/, logs/, server.json (which process it is) and connection.env.

connection.env holds address and password, readable by its owner alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import socket
import string
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATABASE = "neo4j"


class ServerError(Exception):
    """Ends the command with one sentence and an exit code."""

    def __init__(self, sentence: str, exit_code: int = 5) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Server:
    """server.json: the process, and the ports that the next start takes again if they are free."""

    pid: int
    bolt_port: int
    http_port: int

    @property
    def uri(self) -> str:
        return f"bolt://127.0.0.1:{self.bolt_port}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One at a time; the lock ends with the process that holds it."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def opened(home: Path) -> Iterator[None]:
    """The folder of a server, made if it is missing, locked against a second command."""
    if home.exists() and not (home / ".lock").exists() and (not home.is_dir() or any(home.iterdir())):
        raise ServerError(
            f"{home} holds something else, expected a folder of the server's own; name one with --home", 2
        )
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(home / ".lock"):
        yield


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that was never readable by others."""
    staged = path.with_name(path.name + ".new")
    staged.unlink(missing_ok=True)
    with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)


def last_server(home: Path) -> Server | None:
    """The server of server.json; the process may be gone."""
    try:
        return Server(**json.loads((home / "server.json").read_text()))
    except FileNotFoundError:
        return None
    except (TypeError, ValueError) as error:
        raise ServerError(
            f"{home / 'server.json'} is not one of ours ({error}); stop the server and delete it"
        ) from error


def is_ours(pid: int, home: Path) -> bool:
    """Whether that process is the server of this folder: after a kill, the number may belong to any other."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self").exists():
            return False
        said = subprocess.run(["ps", "-p", str(pid), "-o", "args="], capture_output=True, text=True, check=False)
        words = said.stdout.strip().split(" ", 1)
        return len(words) == 2 and words[1].endswith(f" serve {home}")
    return words[-2:] == ["serve", str(home)]


def running_server(home: Path) -> Server | None:
    server = last_server(home)
    return server if server and is_ours(server.pid, home) else None


def free_port(wanted: int = 0) -> int:
    """`wanted` if this machine's loopback has it free, else any free port."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerError("127.0.0.1 has no free port")


def megabytes(size: str) -> int:
    """`512m` or `2g` as a number of MiB."""
    found = re.fullmatch(r"([1-9]\d*)([mg])", size)
    if not found:
        raise ServerError(f"got the size {size!r}, expected one like 512m or 2g", 2)
    return int(found[1]) * (1024 if found[2] == "g" else 1)


def render_conf(bolt_port: int, http_port: int, heap: str, page_cache: str) -> str:
    """neo4j.conf: one transaction may fill half of the heap, all of them 70 % of it."""
    bounds = {"one_transaction": f"{megabytes(heap) // 2}m", "all_transactions": f"{megabytes(heap) * 7 // 10}m"}
    template = string.Template((HERE / "neo4j.conf").read_text())
    return template.substitute(bounds, bolt_port=bolt_port, http_port=http_port, page_cache=f"{megabytes(page_cache)}m")


def password_of(home: Path) -> str | None:
    """The password in connection.env."""
    path = home / "connection.env"
    found = re.search(r"^export NEO4J_PASSWORD=(\S+)$", path.read_text(), re.MULTILINE) if path.exists() else None
    return shlex.split(found[1])[0] if found else None


def write_connection(home: Path, server: Server, password: str) -> None:
    values = {"URI": server.uri, "USERNAME": "neo4j", "PASSWORD": password, "DATABASE": DATABASE}
    lines = [f"export NEO4J_{name}={shlex.quote(value)}" for name, value in values.items()]
    write_private(home / "connection.env", "\n".join(lines) + "\n")
