"""Devices of torch by name, and the way from the host to one, without waiting for it. Light until it computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from csrms_dist.basics.arrays import F32, I64, Matrix
from csrms_dist.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DEVICES = ("auto", "cpu", "cuda")


def device_of(word: str, setting: str) -> torch.device:
    """The device of a word of DEVICES; auto: a GPU where torch sees one. Raises ConfigError, with the name of the
    setting, where a GPU is asked for and there is none."""
    import torch

    there = torch.cuda.is_available()
    if word == "cuda" and not there:
        built = "" if torch.version.cuda else ", whose torch was built without CUDA"
        raise ConfigError(
            setting, got=f"'cuda' on a machine without a GPU that torch can use{built}", expected="a GPU",
            remedy="set it to auto or cpu",
        )  # fmt: skip
    return torch.device("cuda", torch.cuda.current_device()) if there and word != "cpu" else torch.device("cpu")


def put(values: Matrix | Tensor, device: torch.device | str) -> Tensor:
    """The values on `device`, of the same shape, type and order in memory.

    To CUDA they go through pinned memory of their own, while the host goes on: the array may change at once, a tensor
    that is pinned already only after the copy. On a CPU nothing is copied that may be written to: memory is shared.
    """
    import torch

    found = torch.from_numpy(_writable(values)) if isinstance(values, np.ndarray) else values
    if torch.device(device).type != "cuda":
        return found.to(device)
    # Without pinned memory the host waits for the copy; torch keeps the pinned block until the copy is done.
    return (found.pin_memory() if found.device.type == "cpu" else found).to(device, non_blocking=True)


class Arriving:
    """Tensors on their way to the host, in the order in which they were sent; nobody waits for one that is not here."""

    def __init__(self) -> None:
        self._sent: deque[tuple[I64, Tensor, torch.cuda.Event | None]] = deque()

    def add(self, rows: I64, values: Tensor) -> None:
        """Send the values of these rows, as float32."""
        import torch

        if values.device.type != "cuda":
            self._sent.append((rows, values, None))
            return
        there = torch.empty(values.shape, dtype=torch.float32, pin_memory=True)
        there.copy_(values, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self._sent.append((rows, there, event))

    def there(self) -> Iterator[tuple[I64, F32]]:
        """Those that have arrived."""
        while self._sent:
            rows, values, event = self._sent[0]
            if event is not None and not event.query():  # type: ignore[no-untyped-call]
                return
            self._sent.popleft()
            yield rows, values.numpy()

    def all(self) -> Iterator[tuple[I64, F32]]:
        """All, as soon as they are here."""
        event = self._sent[-1][2] if self._sent else None
        if event is not None:
            event.synchronize()
        yield from self.there()


def _writable(array: Matrix) -> Matrix:
    """The array; a copy where its memory is read-only, as a mapped file's is: torch warns of such tensors."""
    return array if array.flags.writeable else array.copy(order="K")
