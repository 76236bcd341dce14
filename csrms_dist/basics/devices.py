"""From the host to a device, without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor

from csrms_dist.basics.arrays import Matrix


def put(values: Matrix | Tensor, device: torch.device | str) -> Tensor:
    """The values on `device`, of the same shape, type and order in memory.

    To CUDA they go through pinned memory of their own, while the host goes on: the array may change at once, a tensor
    that is pinned already only after the copy. On a CPU nothing is copied that may be written to: memory is shared.
    """
    found = values if isinstance(values, Tensor) else torch.from_numpy(_writable(values))
    if torch.device(device).type != "cuda":
        return found.to(device)
    # Without pinned memory the host waits for the copy; torch keeps the pinned block until the copy is done.
    return (found.pin_memory() if found.device.type == "cpu" else found).to(device, non_blocking=True)


def _writable(array: Matrix) -> Matrix:
    """The array; a copy where its memory is read-only, as a mapped file's is: torch warns of such tensors."""
    return array if array.flags.writeable else array.copy(order="K")
