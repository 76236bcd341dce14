"""A checkpoint is the old one or the new one, never half of either."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from csrms_dist.errors import RunDirectoryError
from csrms_dist.training.checkpoint import (
    KEPT,
    STATE_FILE,
    Background,
    FolderStore,
    copied,
    files_beside,
    load_checkpoint,
    save_checkpoint,
)


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


def state_of(epochs: int, batches: int = 0) -> dict[str, Any]:
    state: dict[str, Any] = {"w": torch.full((3,), epochs + batches / 10), "history": [{"epoch": 1.0}] * epochs}
    return state | ({"part": {"batches": batches}} if batches else {})


def test_the_newest_so_many_are_kept_with_their_files(tmp_path: Path) -> None:
    store = FolderStore(tmp_path, kept=2)
    for epoch in (1, 2, 3):
        bank = tmp_path / f"bank.{epoch}.npy"
        bank.write_bytes(bytes([epoch]) * 9)
        (tmp_path / "refresh.1").mkdir(exist_ok=True)
        (tmp_path / "refresh.1" / "facts").write_text("as made")
        store.save(state_of(epoch), files_beside(tmp_path))
        bank.unlink()  # as the bank itself does when it has a newer one
    store.save(state_of(3, batches=4), files_beside(tmp_path))
    assert sorted(path.name for path in (tmp_path / KEPT).iterdir()) == ["000003.000000000", "000003.000000004"]
    kept = tmp_path / KEPT / "000003.000000000"
    assert (kept / "bank.3.npy").read_bytes() == bytes([3]) * 9
    assert (kept / "refresh.1" / "facts").read_text() == "as made"
    found = store.load()
    assert found is not None
    assert found["part"]["batches"] == 4


def test_an_earlier_one_stands_in_for_one_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FolderStore(tmp_path, kept=2)
    (tmp_path / "bank.1.npy").write_bytes(b"of the first")
    store.save(state_of(1), files_beside(tmp_path))
    (tmp_path / "bank.1.npy").unlink()
    store.save(state_of(2), files_beside(tmp_path))
    (tmp_path / STATE_FILE).unlink()
    (tmp_path / STATE_FILE).write_bytes(b"nothing of the kind")
    found = store.load()
    assert found is not None
    assert len(found["history"]) == 1
    assert (tmp_path / "bank.1.npy").read_bytes() == b"of the first"
    assert "state.pt cannot be read; the training goes on from" in capsys.readouterr().err
    with pytest.raises(RunDirectoryError, match="expected a checkpoint of this training"):
        FolderStore(tmp_path / KEPT / "none", kept=2).load() or load_checkpoint(tmp_path)


def test_one_is_kept_where_nothing_else_is_asked_for(tmp_path: Path) -> None:
    store = pickle.loads(pickle.dumps(FolderStore(tmp_path)))  # noqa: S301
    for epoch in (1, 2):
        store.save(state_of(epoch), [])
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]


class Slow:
    """A store whose saves wait until they may go on."""

    def __init__(self) -> None:
        self.go, self.saved = threading.Event(), []  # type: ignore[var-annotated]

    def save(self, state: Any, files: Any) -> None:
        assert self.go.wait(20)
        if "broken" in state:
            raise RunDirectoryError("the disk", got="no space")
        self.saved.append((state, [path.name for path in files]))

    def load(self) -> None:
        return None


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path: Path) -> None:
    (tmp_path / "bank.1.npy").touch()
    (tmp_path / ".hidden").touch()
    slow, heard = Slow(), []  # type: ignore[var-annotated]
    saving = Background(slow, tmp_path, heard.append)
    state = {"w": torch.ones(3), "history": [{"loss": 1.0}], "n": (torch.zeros(1), "x")}
    saving.save(state)
    state["w"] += 1  # the next step
    state["history"].append({"loss": 0.5})
    assert heard == []
    slow.go.set()
    saving.finish()
    [(saved, files)] = slow.saved
    assert saved["w"].tolist() == [1, 1, 1]
    assert saved["history"] == [{"loss": 1.0}]
    assert heard == [saved]
    assert files == ["bank.1.npy"]
    assert copied(state)["n"][1] == "x"


def test_what_a_save_failed_with_is_raised_by_the_next(tmp_path: Path) -> None:
    slow = Slow()
    slow.go.set()
    saving = Background(slow, tmp_path)
    saving.save({"broken": True})
    with pytest.raises(RunDirectoryError, match="no space"):
        saving.save({"w": 1})
    saving.save({"w": 2})
    saving.finish()
    assert [state for state, _ in slow.saved] == [{"w": 2}]
    saving.finish()  # nothing is under way
