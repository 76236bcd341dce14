"""The watch sees what processes hold, its descendants included, and not what they map."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ray_jobs import memory

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the watch reads /proc")

HOLD = (
    "import time; held = bytearray({size}); held[::4096] = b'1' * len(held[::4096]); "
    "print('there', flush=True); time.sleep(60)"
)
# A parent that starts one that holds memory, in a session of its own, and ends before it.
ORPHAN = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', {held!r}], start_new_session=True, stdout=subprocess.PIPE)\n"
    "print(child.pid, flush=True)\n"
    "time.sleep({wait})\n"
)


def test_memory_of_this_process_counts_also_after_it_was_given_back() -> None:
    with memory.watched() as before:
        pass
    with memory.watched() as peak:
        held = np.ones(60_000_000, np.uint8)
        time.sleep(2 * memory.INTERVAL_S)
        del held
    assert before.mb is not None
    assert peak.mb is not None
    assert 50 < peak.mb - before.mb < 90
    assert peak.process == "csrms"


def test_a_child_counts_by_itself_and_by_its_name() -> None:
    with memory.watched() as own:
        pass
    assert own.mb is not None
    size = own.mb + 200  # more than this process, whose other tests may have left a lot
    with memory.watched() as peak, _process(HOLD.format(size=round(size * memory.MB))) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "there\n"
        time.sleep(2 * memory.INTERVAL_S)
        child.kill()
    assert peak.mb is not None
    assert size - 10 < peak.mb < size + 60  # one process, not the sum with this one
    assert peak.process.startswith("python")


def test_a_descendant_is_kept_when_its_parent_ends() -> None:
    watch = memory._Watch()
    with _process(ORPHAN.format(held=HOLD.format(size=1000), wait=1)) as parent:
        assert parent.stdout is not None
        grandchild = int(parent.stdout.readline())
        try:
            assert grandchild in watch._descendants()
            parent.wait()
            assert memory._facts(grandchild) is not None
            assert grandchild in watch._descendants()
            assert grandchild not in memory._Watch()._descendants()
        finally:
            os.kill(grandchild, 9)


def test_mapped_files_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(bytes(200_000_000))
    with memory.watched() as before:
        pass
    with memory.watched() as peak, path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        assert np.frombuffer(mapped, np.uint8).sum() == 0
        time.sleep(2 * memory.INTERVAL_S)
    assert peak.mb is not None
    assert before.mb is not None
    assert peak.mb - before.mb < 20


def test_the_watch_costs_next_to_nothing() -> None:
    watch = memory._Watch()
    watch.sample()
    before = time.process_time()
    for _ in range(10):
        watch.sample()
    assert (time.process_time() - before) / 10 < 0.1 * memory.INTERVAL_S


def test_without_proc_there_is_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    with memory.watched() as peak:
        pass
    assert peak.mb is None
    assert json.dumps(peak.mb) == "null"


def _process(text: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
