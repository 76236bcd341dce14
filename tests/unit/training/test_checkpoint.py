"""A checkpoint is the old one or the new one, never half of either."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from csrms_dist.errors import RunDirectoryError
from csrms_dist.training.checkpoint import STATE_FILE, load_checkpoint, save_checkpoint


def test_what_was_saved_last_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    assert load_checkpoint(folder) is None
    for epoch in (1, 2):
        save_checkpoint(folder, {"model": {"w": torch.full((3,), float(epoch))}, "history": [{"epoch": 1.0}] * epoch})
    state = load_checkpoint(folder)
    assert state is not None
    assert torch.equal(state["model"]["w"], torch.full((3,), 2.0))
    assert len(state["history"]) == 2
    assert [path.name for path in folder.iterdir()] == [STATE_FILE]


def _save_for_ever(folder: Path) -> None:
    for number in range(10**9):
        save_checkpoint(folder, {"w": torch.full((200_000,), float(number))})


def test_a_kill_while_saving_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    seen = set()
    for delay in (0.0, 0.01, 0.02, 0.03, 0.05):
        process = multiprocessing.get_context("fork").Process(target=_save_for_ever, args=(tmp_path,))
        process.start()
        deadline = time.monotonic() + 30
        while not (tmp_path / STATE_FILE).exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(delay)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        state = load_checkpoint(tmp_path)
        assert state is not None
        assert len(set(state["w"].tolist())) == 1
        seen.add(float(state["w"][0]))
    assert len(seen) > 1


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_bytes(b"nothing of the kind")
    with pytest.raises(RunDirectoryError, match=r"state\.pt: got .*, expected a checkpoint of this training"):
        load_checkpoint(tmp_path)
