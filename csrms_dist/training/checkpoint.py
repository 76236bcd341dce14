"""A training's checkpoints: what is written, where, how many are kept, and that nobody waits for it.

A checkpoint is a state (one file, replaced whole or not at all) and the files that a method keeps in the work folder
beside it: generations of the feature bank, patterns that were made anew.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from csrms_dist.artefacts.files import disk_errors, link_or_copy
from csrms_dist.basics.progress import warn
from csrms_dist.errors import RunDirectoryError

STATE_FILE = "state.pt"
KEPT = "kept"
"""The folder of earlier checkpoints, each in a folder of its own, where more than one is kept."""

State = dict[str, Any]


class CheckpointStore(Protocol):
    """Where checkpoints lie. It is handed from the driver to the workers, so it can be pickled."""

    def save(self, state: State, files: Sequence[Path]) -> None:
        """Keep a state and the files (or folders) of the work folder that it needs. Raises RunDirectoryError.

        Rank 0 alone calls it, from a thread of its own, one call after the other. A file may go on changing where the
        state does not look.
        """
        ...

    def load(self) -> State | None:
        """The state that was saved last, with its files in the work folder again, or None. Every worker calls it."""
        ...


class FolderStore:
    """Checkpoints in a work folder that all workers share, in which their files lie already.

    kept: how many; earlier ones lie below `kept/`, with links to their files, and stand in for a newest that cannot be
    read.
    """

    def __init__(self, folder: Path, kept: int = 1) -> None:
        self._folder, self._kept = folder, kept

    def save(self, state: State, files: Sequence[Path]) -> None:
        for file in files:
            _flush(file)
        save_checkpoint(self._folder, state)
        if self._kept == 1:
            return
        base = self._folder / KEPT
        place = base / _name(state)
        staged = place.with_name(f".{place.name}")
        with disk_errors(str(base)):
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir(parents=True)
            for file in (self._folder / STATE_FILE, *(path for path in files if path.exists())):
                link_or_copy(file, staged / file.name)
            shutil.rmtree(place, ignore_errors=True)
            staged.rename(place)
            for old in self._earlier()[self._kept :]:
                shutil.rmtree(old)

    def load(self) -> State | None:
        try:
            return load_checkpoint(self._folder)
        except RunDirectoryError as error:
            for place in self._earlier()[1:]:  # the first is the one that cannot be read
                state = load_checkpoint(place)
                if state is not None:
                    warn(f"{error.what} cannot be read; the training goes on from {place}")
                    for file in place.iterdir():
                        with contextlib.suppress(FileExistsError):  # it is there, or another worker was faster
                            if file.name != STATE_FILE:
                                link_or_copy(file, self._folder / file.name)
                    return state
            raise

    def _earlier(self) -> list[Path]:
        """The newest first."""
        return sorted((self._folder / KEPT).glob("[0-9]*"), reverse=True)


def _flush(path: Path) -> None:
    """What was written to a file by a memory map must be on the disk before a state says that it is there."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())


def _name(state: State) -> str:
    """Sorts as training goes on: epochs done, and the batches of one that is under way."""
    part = state.get("part")
    return f"{len(state['history']):06d}.{part['batches'] if part else 0:09d}"


def files_beside(work: Path) -> list[Path]:
    """What a method keeps in the work folder: all but checkpoints and hidden files."""
    return sorted(path for path in work.glob("[!.]*") if path.name not in (STATE_FILE, KEPT))


class Background:
    """Saves checkpoints while training goes on: a copy of the state, and a thread.

    An error of a save is raised by the next one, or by `finish`. One save runs at a time; a further one waits for it.
    """

    def __init__(self, store: CheckpointStore, work: Path, after: Callable[[State], None] | None = None) -> None:
        self._store, self._work, self._after = store, work, after
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def save(self, state: State) -> None:
        """Begin to save a state. `after`, given above, hears of it when it is safe."""
        self.finish()
        kept, files = copied(state), files_beside(self._work)
        self._thread = threading.Thread(target=self._run, args=(kept, files), name="checkpoint")
        self._thread.start()

    def finish(self) -> None:
        """Wait for the save under way. Raises what it failed with."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self, state: State, files: list[Path]) -> None:
        try:
            self._store.save(state, files)
            if self._after is not None:
                self._after(state)
        except BaseException as error:  # raised again on the thread that trains
            self._error = error


def copied(state: Any) -> Any:
    """A copy on the host that later steps do not change."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: copied(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(copied(value) for value in state)
    return state


def save_checkpoint(folder: Path, state: State) -> None:
    """Write everything that `training.loop.fit` needs to go on; a kill at any moment leaves the old or the new state.

    Raises RunDirectoryError when the disk is full or the folder may not be written.
    """
    staged = folder / f".{STATE_FILE}"
    with disk_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        with staged.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(folder / STATE_FILE)


def load_checkpoint(folder: Path) -> State | None:
    """The state that was saved last, or None. Raises RunDirectoryError for a file that is no checkpoint."""
    path = folder / STATE_FILE
    if not path.exists():
        return None
    try:
        state: State = torch.load(path, weights_only=True)
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise RunDirectoryError(
            f"{path}", got=f"'{text}'", expected="a checkpoint of this training", remedy="delete it and start again"
        ) from error
    return state
