"""Arrays as tensors, and tensors written to a file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from csrms_dist.artefacts.files import disk_errors
from csrms_dist.basics.arrays import Matrix


def tensor_of(array: Matrix) -> Tensor:
    """A tensor over the memory of an array; of a read-only one a copy, for torch would let one write to it."""
    return torch.from_numpy(array if array.flags.writeable else np.array(array))


def written_whole(out: Path, write: Callable[[Path], None]) -> None:
    """Have a file written beside its place, and move it there. Raises RunDirectoryError where that cannot be done."""
    staged = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with disk_errors(str(out.parent)):
            out.parent.mkdir(parents=True, exist_ok=True)
            write(staged)
            staged.replace(out)
    finally:
        staged.unlink(missing_ok=True)
