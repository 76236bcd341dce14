"""Rows on their way to a device, block by block, and results on their way back, while others are computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from csrms_dist.basics.arrays import I8, Matrix

MOST_ROWS, LEAST_ROWS = 1 << 19, 1 << 10
"""Of a block: at the most so many that starting a kernel costs next to nothing; below the least no memory is that
small."""
SHARE = 8
"""One part in so many of the memory that is free: others may compute on the same device."""
NUMBERS = 128
"""Bytes of a row's results and of what they are computed from."""


def rows_of_a_block(rows: int, width: int, device: torch.device) -> int:
    """How many of `rows` rows of `width` bytes a block has: two blocks fit in a share of the device's free memory."""
    most = MOST_ROWS
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        most = min(most, free // SHARE // (2 * (2 * width + NUMBERS)))
    return max(1, min(rows, max(LEAST_ROWS, most)))


class Blocks:
    """Rows (N, D) as blocks (n, W) on the device, padded with zeros: pairs of their place and the block.

    On a GPU a block comes through pinned memory on the stream `beside`, and the stream of the computation waits for it.
    There are two: whoever takes a block has begun all work on the one before it, in the order of that stream.
    """

    def __init__(self, q: I8, width: int, rows: int, device: torch.device) -> None:
        self._q, self._device = q, device
        self._parts = [slice(start, min(len(q), start + rows)) for start in range(0, len(q), rows)]
        on_gpu = device.type == "cuda"
        two = range(min(2, len(self._parts)))
        self._host = [torch.empty((rows, q.shape[1]), dtype=torch.int8, pin_memory=on_gpu) for _ in two]
        self._there = [torch.zeros((rows, width), dtype=torch.int8, device=device) for _ in two]
        self.beside: torch.cuda.Stream | None = None
        if on_gpu:
            self.beside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._arrived = [torch.cuda.Event() for _ in two]  # type: ignore[no-untyped-call]
            self._read = torch.cuda.Event()  # type: ignore[no-untyped-call] # the block to be written over is done with
        self._fetched = 0

    def __iter__(self) -> Iterator[tuple[slice, Tensor]]:
        for number, part in enumerate(self._parts):
            if self.beside is not None:
                self._read.record(torch.cuda.current_stream(self._device))
            if self._fetched == number:
                self.fetch_next()
            if self.beside is not None:
                torch.cuda.current_stream(self._device).wait_event(self._arrived[number % 2])
            yield part, self._there[number % 2][: part.stop - part.start]

    def fetch_next(self) -> None:
        """Have the first block that has not been fetched copied, if there is one; its arrival is not waited for."""
        if self._fetched == len(self._parts):
            return
        turn, part = self._fetched % 2, self._parts[self._fetched]
        self._fetched += 1
        host = self._host[turn][: part.stop - part.start]
        there = self._there[turn][: len(host), : host.shape[1]]
        if self.beside is None:
            np.copyto(host.numpy(), self._q[part])
            there.copy_(host)
            return
        self._arrived[turn].synchronize()  # the block before the last one has left this memory
        np.copyto(host.numpy(), self._q[part])
        with torch.cuda.stream(self.beside):
            self.beside.wait_event(self._read)
            there.copy_(host, non_blocking=True)
            self._arrived[turn].record(self.beside)


class Results:
    """Tensors (n,) on their way to the host, beside what is computed next."""

    def __init__(self, part: slice, tensors: Sequence[Tensor], beside: torch.cuda.Stream | None) -> None:
        self._part, self._tensors, self._arrived = part, tensors, None  # they stay until they have been copied
        if beside is None:
            self._host = list(tensors)
            return
        beside.wait_stream(torch.cuda.current_stream(tensors[0].device))
        self._host = [torch.empty_like(tensor, device="cpu", pin_memory=True) for tensor in tensors]
        with torch.cuda.stream(beside):
            for host, tensor in zip(self._host, tensors, strict=True):
                host.copy_(tensor, non_blocking=True)
        self._arrived = beside.record_event()

    def into(self, arrays: Sequence[Matrix]) -> None:
        """Write them into their places of arrays (N,), once they are there."""
        if self._arrived is not None:
            self._arrived.synchronize()
        for array, host in zip(arrays, self._host, strict=True):
            array[self._part] = host.numpy()
