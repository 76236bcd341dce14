"""Peak private memory of this command's processes, while a stage runs.

Private is what the kernel calls RssAnon: resident pages that belong to no file. Neither memory-mapped tables nor Ray's
shared object store count. What is kept is the largest single process.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

INTERVAL_S = 0.5
PROC = Path("/proc")
MB = 1_000_000


@dataclass
class Peak:
    """The largest private memory of any one process so far, in MB of 10^6 bytes, and that process's name.

    mb is None where nothing was seen: without /proc there is nothing to read.
    """

    mb: float | None = None
    process: str = ""


@contextmanager
def watched() -> Iterator[Peak]:
    """Sample this process and its descendants twice a second until the block ends; the peak is final after it.

    A process that lives for less than the interval may be missed, and so is all that runs on other machines.
    """
    watch = _Watch()
    if not watch.available:
        yield watch.peak
        return
    thread = threading.Thread(target=watch.sample_until_stopped, name="memory watch", daemon=True)
    thread.start()
    try:
        yield watch.peak
    finally:
        watch.stop.set()
        thread.join()
        watch.sample()


class _Watch:
    def __init__(self) -> None:
        self.peak = Peak()
        self.stop = threading.Event()
        self.available = (PROC / "self" / "status").exists()
        # A process whose parent ends gets another one: who was a descendant once stays one. (pid, time of its start)
        self._family: set[tuple[int, int]] = set()

    def sample_until_stopped(self) -> None:
        self.sample()
        while not self.stop.wait(INTERVAL_S):
            self.sample()

    def sample(self) -> None:
        for pid in self._descendants():
            size = _private_bytes(pid) / MB
            if size > (self.peak.mb or 0.0):
                self.peak.mb, self.peak.process = size, _name(pid)

    def _descendants(self) -> list[int]:
        """This process and what descends from it, by the parent of every process of the machine."""
        pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
        living = {pid: facts for pid in pids if (facts := _facts(pid)) is not None}
        mine = {pid for pid, (_, started) in living.items() if (pid, started) in self._family} | {os.getpid()}
        children: dict[int, list[int]] = {}
        for pid, (parent, _) in living.items():
            children.setdefault(parent, []).append(pid)
        waiting = list(mine)
        while waiting:
            for child in children.get(waiting.pop(), ()):
                if child not in mine:
                    mine.add(child)
                    waiting.append(child)
        self._family = {(pid, living[pid][1]) for pid in mine if pid in living}
        return sorted(mine)


def _facts(pid: int) -> tuple[int, int] | None:
    """Parent and start time of a process; None when it has ended."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        # The name comes second, in brackets, and may hold anything.
        words = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return int(words[1]), int(words[19])
    return None


def _private_bytes(pid: int) -> int:
    """RssAnon; 0 for a process that has ended or that is not ours to read."""
    with contextlib.suppress(OSError, ValueError):
        for line in (PROC / str(pid) / "status").read_text(errors="replace").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def _name(pid: int) -> str:
    """'csrms' for this process, the title that Ray gives to its workers, else the program's file name."""
    if pid == os.getpid():
        return "csrms"
    with contextlib.suppress(OSError):
        words = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ").split()
        if words:
            return words[0] if "::" in words[0] else Path(words[0]).name
    return str(pid)
