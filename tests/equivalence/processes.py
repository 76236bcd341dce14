"""Two real processes that train as workers: gloo, a rendezvous by file."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from csrms_dist.basics.collective import Collective

ROOT = Path(__file__).resolve().parents[2]


def work(folder: Path, rank: int, world: int, everything: Callable[[Collective], Any]) -> None:
    """What such a process does: what it finds lies in <rank>.pt."""
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world,
        timeout=datetime.timedelta(seconds=600),
    )  # fmt: skip
    torch.save(everything(Collective(rank, world)), folder / f"{rank}.pt")
    dist.destroy_process_group()


@contextmanager
def two_processes(module: str, folder: Path, timeout_s: float) -> Iterator[Callable[[], list[Any]]]:
    """Two processes that run a test module with (folder, rank, 2); what is yielded waits and returns what they found.

    At the end this process has its threads again, and no other is left.
    """
    command = [sys.executable, "-W", "error", "-m", module, str(folder)]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen([*command, str(rank), "2"], cwd=ROOT, stderr=subprocess.PIPE, env=environment, text=True)
        for rank in range(2)
    ]
    threads = torch.get_num_threads()

    def found() -> list[Any]:
        errors = [process.communicate(timeout=timeout_s)[1] for process in workers]
        assert [process.returncode for process in workers] == [0, 0], "\n".join(errors)[-4000:]
        return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]

    try:
        yield found
    finally:
        torch.set_num_threads(threads)
        for process in workers:
            process.kill()
            process.communicate()
