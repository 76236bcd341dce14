"""The feature bank on the device that trains, where it fits there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from csrms_dist.artefacts.files import NpyWriter
from csrms_dist.artefacts.work_folder import drop, share
from csrms_dist.basics.arrays import F32, I64
from csrms_dist.basics.collective import Collective
from csrms_dist.basics.devices import put
from csrms_dist.models.feature_bank import FeatureBank, generation_file

ROWS = 1 << 16
"""Rows that go between host and device at a time."""
SHARE = 0.5
"""Of the device's free memory a bank may take so much."""


class DeviceBank(FeatureBank):
    """Both generations in the device's memory, of every worker: all of them write all features, so theirs are equal.

    kind: how they are stored there; what is read is float32. With a folder rank 0 writes each generation for the
    checkpoints.
    """

    current: Any

    def __init__(
        self,
        features: F32,
        folder: Path | None = None,
        *,
        rank: int = 0,
        fixed: bool = False,
        device: torch.device | str = "cpu",
        kind: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(features, folder, rank=rank, fixed=fixed, device=device)
        self._kind = kind
        self.current = self._on_device(features)

    def on_host(self) -> F32:
        found: F32 = self.current.float().cpu().numpy()
        return found

    def read(self, rows: I64) -> Tensor:
        found: Tensor = self.current[put(rows, self.device)]
        return found.float()

    def write(self, rows: I64, features: Tensor) -> None:
        if self.fixed:
            return
        if self._next is None:
            self._next = self.current.clone()
        self._next[put(rows, self.device)] = features.detach().to(self._kind)

    def turn(self, collective: Collective) -> None:
        if not self.fixed:
            if self._next is not None:
                self.current, self._next = self._next, None
            if self._folder is not None:
                if self._writes:
                    path = generation_file(self._folder, self.generation + 1)
                    path.unlink(missing_ok=True)  # an earlier checkpoint may have another name for it
                    self._save(path)
                    share(path)
                    # Two older generations stay, as of a bank on the host.
                    drop(generation_file(self._folder, self.generation - 2))
                collective.barrier()
        self.generation += 1

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        super().load_state_dict(state)
        self.current = self._on_device(self.current)

    def part_state(self) -> dict[str, Tensor]:
        """Of an epoch under way: the next generation as it is, on the host."""
        return {} if self._next is None else {"next": self._next.float().cpu()}

    def load_part_state(self, state: dict[str, Tensor]) -> None:
        if state and not self.fixed:
            self._next = self._on_device(state["next"].cpu().numpy())

    def _on_device(self, features: F32) -> Tensor:
        found = torch.empty(features.shape, dtype=self._kind, device=self.device)
        for start in range(0, len(features), ROWS):
            block = np.ascontiguousarray(features[start : start + ROWS], np.float32)
            found[start : start + ROWS] = put(block, self.device)
        return found

    def _save(self, path: Path) -> None:
        with NpyWriter(path, np.float32, tuple(self.current.shape)) as file:
            for start in range(0, len(self.current), ROWS):
                file.put(start, self.current[start : start + ROWS].float().cpu().numpy())


def make_bank(
    features: F32,
    folder: Path | None,
    *,
    rank: int,
    fixed: bool = False,
    device: torch.device,
    kind: torch.dtype = torch.float32,
) -> FeatureBank:
    """On a GPU with room for it the bank lies there, else on the host."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if features.size * kind.itemsize * (1 if fixed else 2) <= SHARE * free:
            return DeviceBank(features, folder, rank=rank, fixed=fixed, device=device, kind=kind)
    return FeatureBank(features, folder, rank=rank, fixed=fixed, device=device)
