"""A process as another command can find it again, on the same machine."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROC = Path("/proc")


def this_process() -> dict[str, Any]:
    """pid, host, and where there is a /proc: `machine`, which no other machine or container has, and `started`, which
    tells it from a later process of the same number."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "machine": _machine(), "started": _started(os.getpid())}


def lives(process: Mapping[str, Any]) -> bool | None:
    """Whether a process that `this_process` described is alive; None where it runs on another machine."""
    if not process.get("machine") or process["machine"] != _machine():
        return None
    return _started(int(process["pid"])) == process.get("started")


def _machine() -> str:
    """The boot of the kernel and the process namespace, in which a container sees pids of its own."""
    with contextlib.suppress(OSError):
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(PROC / 'self/ns/pid')}"  # noqa: PTH115 - it leads to no path
    return ""


def _started(pid: int) -> int | None:
    """Ticks from the boot to the start of a process; None when it has ended."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        # The name comes second, in brackets, and may hold anything.
        words = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if words[0] in "ZX" else int(words[19])
    return None
