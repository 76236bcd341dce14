"""A training's checkpoint: one file, replaced after every epoch, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from csrms_dist.artefacts.files import disk_errors
from csrms_dist.artefacts.work_folder import bring, share
from csrms_dist.errors import RunDirectoryError

STATE_FILE = "state.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write everything that `training.loop.fit` needs to go on; a kill at any moment leaves the old or the new state.

    Of a run that is not local it goes to its store, last of all that it names (artefacts.work_folder). Raises
    RunDirectoryError when the disk is full or the folder may not be written.
    """
    staged = folder / f".{STATE_FILE}"
    with disk_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        with staged.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(folder / STATE_FILE)
    share(folder / STATE_FILE)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The state that was saved last, or None. Raises RunDirectoryError for a file that is no checkpoint."""
    path = folder / STATE_FILE
    if not bring(path):
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise RunDirectoryError(
            f"{path}", got=f"'{text}'", expected="a checkpoint of this training", remedy="delete it and start again"
        ) from error
    return state
