"""Real processes that train together: one is stopped, and the other ends within the limit, with its name.

The workers run this file as a module.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.harness import ROOM
from tests.equivalence.processes import ROOT

pytestmark = ROOM

LIMIT_S, NOTICED_S = 3.0, 15.0


def start(folder: Path, what: str) -> list[subprocess.Popen[str]]:
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.faults.test_stalls", str(folder), what]
    return [
        subprocess.Popen(
            [*command, str(rank)], cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for rank in range(2)
    ]


@pytest.mark.parametrize(
    ("what", "victim"),
    [
        ("sum", 1),
        pytest.param("sum", 0, marks=pytest.mark.slow),
        pytest.param("barrier", 1, marks=pytest.mark.slow),
        pytest.param("outside", 1, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_worker_is_named_and_nobody_hangs(tmp_path: Path, what: str, victim: int) -> None:
    workers = start(tmp_path, what)
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "trains\n", worker.communicate()[1]
        workers[victim].send_signal(signal.SIGSTOP)
        started = time.monotonic()
        out, errors = workers[1 - victim].communicate(timeout=60)
        assert time.monotonic() - started < LIMIT_S + NOTICED_S
        assert workers[1 - victim].returncode == 6, errors
        if what != "outside":  # of one that stands in a library the process ends without a word of its own
            assert f"training: worker {victim} of 2 on " in out
            assert f"(process {workers[victim].pid}): got no answer for " in out
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


@pytest.mark.slow
def test_a_killed_worker_ends_the_other_at_once(tmp_path: Path) -> None:
    workers = start(tmp_path, "sum")
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "trains\n", worker.communicate()[1]
        workers[1].kill()
        assert workers[0].wait(timeout=LIMIT_S) == 1
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def main(folder: str, what: str, rank: int) -> None:
    import datetime

    import torch
    import torch.distributed as dist

    from csrms_dist.basics import heartbeat
    from csrms_dist.basics.collective import Collective
    from csrms_dist.basics.heartbeat import Heartbeat
    from csrms_dist.errors import StalledError

    heartbeat.GRACE_S = 2.0
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2,
        timeout=datetime.timedelta(seconds=600),
    )  # fmt: skip
    collective = Collective(rank, 2, Heartbeat.connect(rank, 2, limit_s=LIMIT_S))
    collective.barrier()
    print("trains", flush=True)
    try:
        while True:
            if what == "sum":
                collective.all_sum(torch.ones(1000))
            elif what == "barrier":
                collective.barrier()
            else:
                dist.all_reduce(torch.ones(1000))  # as a library would, which knows no heartbeat
            time.sleep(0.01)
    except StalledError as error:
        print(error, flush=True)
        os._exit(error.exit_code)  # the message that hangs would hold an ordinary exit up
    except RuntimeError:
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
