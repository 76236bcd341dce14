"""The feature bank: one detached feature for every training row, one epoch old.

Epoch e reads generation e - 1 and writes generation e while the images pass, so what an anchor sees does not depend on
the order of the batches within an epoch. With a folder each generation is a memory-mapped file of its own, so the bank
takes disk instead of memory, and a checkpoint that names a generation finds it there after a kill. Only the worker that
writes (rank 0) needs write access; all map the same file, or of a run that is not local a copy on each node.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from csrms_dist.artefacts.files import reserve_npy
from csrms_dist.artefacts.work_folder import bring, drop, share
from csrms_dist.basics.arrays import F32, I64
from csrms_dist.basics.collective import Collective
from csrms_dist.basics.devices import Arriving, put
from csrms_dist.errors import RunDirectoryError

BANK = "bank.npy"
"""The file of the last generation, where it is kept."""


def generation_file(folder: Path, generation: int) -> Path:
    """Where a generation above 0 lies, and generation 0 where it is no feature table."""
    return folder / f"bank.{generation}.npy"


class FeatureBank:
    """features: (N, D) float32, generation 0, only read: the feature table that was clustered, or what an adapter
    makes of it at the start.

    folder: where later generations are written, by rank 0; None keeps them in memory, in every rank's. fixed: nothing
    is written and every generation is the first, for features that are not trained. device: where what is read goes;
    the bank itself stays on the host (`DeviceBank` does not), and nobody waits for what is written.
    """

    def __init__(
        self,
        features: F32,
        folder: Path | None = None,
        *,
        rank: int = 0,
        fixed: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        self.generation = 0
        self.device = device
        self.fixed = fixed
        self._writes = not fixed and (folder is None or rank == 0)
        self._first = features
        self.current: F32 = features
        self._folder = folder
        self._next: Any = None
        self._written = np.zeros(0, np.bool_)
        self._arriving = Arriving()

    def on_host(self) -> F32:
        """(N, D) float32, the current generation."""
        return self.current

    def read(self, rows: I64) -> Tensor:
        """Features of rows of any shape (...,), from the current generation: (..., D)."""
        return put(self.current[rows], self.device)

    def write(self, rows: I64, features: Tensor) -> None:
        """Put the (B, D) features of (B,) rows into the next generation."""
        if not self._writes:
            return
        if self._next is None:
            self._written = np.zeros(len(self.current), np.bool_)
            self._next = self._open_next()
        self._arriving.add(rows, features.detach())
        self._take(self._arriving.there())

    def _take(self, arrived: Iterator[tuple[I64, F32]]) -> None:
        for rows, features in arrived:
            self._next[rows] = features
            self._written[rows] = True

    def turn(self, collective: Collective) -> None:
        """End of an epoch: what was written becomes what is read; rows that no batch held keep their feature."""
        if not self.fixed:
            following = self.generation + 1
            if self._writes:
                self._finish_next()
                if self._folder is not None:
                    share(generation_file(self._folder, following))
            if self._folder is not None:
                collective.barrier()
                self.current = np.asarray(_map(generation_file(self._folder, following)))
                if self._writes:
                    # Two older generations stay: the last checkpoint names one, and while it is being written the one
                    # before it does.
                    drop(generation_file(self._folder, following - 3))
        self.generation += 1

    def _open_next(self) -> Any:
        if self._folder is None:
            return np.empty_like(self.current)
        path = generation_file(self._folder, self.generation + 1)
        path.unlink(missing_ok=True)  # an earlier checkpoint may have another name for it
        reserve_npy(path, np.float32, self.current.shape)
        return np.load(path, mmap_mode="r+")

    def _finish_next(self) -> None:
        if self._next is None:
            self._next, self._written = self._open_next(), np.zeros(len(self.current), np.bool_)
        self._take(self._arriving.all())
        missing = np.flatnonzero(~self._written)
        self._next[missing] = self.current[missing]
        if self._folder is None:
            self.current = self._next
        else:
            self._next.flush()
            with generation_file(self._folder, self.generation + 1).open("rb") as file:
                os.fsync(file.fileno())
        self._next = None

    def state_dict(self) -> dict[str, Tensor | int]:
        """The generation; of a bank in memory its features too, which else lie in the generation's file."""
        state: dict[str, Tensor | int] = {"generation": self.generation}
        if self._folder is None and not self.fixed:
            state["features"] = torch.from_numpy(np.array(self.on_host()))
        return state

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """Raises RunDirectoryError when the file of that generation is not there."""
        self.generation, self._next, self._arriving = int(state["generation"]), None, Arriving()
        if self.fixed or self.generation == 0:
            self.current = self._first
        elif self._folder is None:
            self.current = torch.as_tensor(state["features"]).cpu().numpy().copy()
        else:
            self.current = np.asarray(_map(generation_file(self._folder, self.generation)))

    def part_state(self) -> dict[str, Tensor]:
        """Of an epoch under way: which rows (N,) were written; of a bank in memory what was, too.

        A bank in files keeps that in the next generation's, where rows that come later do no harm: they come again.
        """
        if self._next is None:
            return {}
        self._take(self._arriving.all())
        state = {"written": torch.from_numpy(self._written.copy())}
        if self._folder is None:
            state["next"] = torch.from_numpy(np.array(self._next))
        return state

    def load_part_state(self, state: dict[str, Tensor]) -> None:
        """Raises RunDirectoryError when the file of the next generation is not there."""
        if not state or not self._writes:
            return
        self._written = state["written"].cpu().numpy().copy()
        if self._folder is None:
            self._next = state["next"].cpu().numpy().copy()
        else:
            self._next = _map(generation_file(self._folder, self.generation + 1), "r+")


def _map(path: Path, mode: Literal["r", "r+"] = "r") -> Any:
    bring(path)
    try:
        return np.load(path, mmap_mode=mode)
    except (OSError, ValueError) as error:
        raise RunDirectoryError(
            f"the feature bank {path}", got=f"'{error}'", expected="the generation that the checkpoint names",
            remedy="delete the folder .checkpoints of the run and start the command again",
        ) from error  # fmt: skip
