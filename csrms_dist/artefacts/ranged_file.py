"""A copy of a large file that grows as it is read: a sparse file of the full size, and which of its blocks are there.

Several processes read and fill one copy, and blocks may go again to make room. Who reads holds the file's lock shared;
who takes blocks away needs it alone. A block is marked after its bytes are written, and unmarked before they go.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from csrms_dist.artefacts.files import disk_errors
from csrms_dist.basics.arrays import I64, U8

BLOCK = 1 << 20
AT_ONCE = 64
"""Blocks that are fetched before room is made for more."""
THREADS = 8
LONGEST = 8
"""Blocks of one request."""
ABSENT, UNUSED, USED = 0, 1, 2
"""The mark of a block: not there, there, and there and read since marks were last lowered."""

_KEEP_SIZE_AND_PUNCH = 3


class RangedFile:
    """path: the sparse copy of `size` bytes. marks: the file of its marks, a byte each. read: (start, stop) -> bytes of
    the original. make_room: asked for so many bytes before they are written."""

    def __init__(
        self,
        path: Path,
        marks: Path,
        size: int,
        read: Callable[[int, int], bytes],
        make_room: Callable[[int], None],
    ) -> None:
        self.path, self.size = path, size
        self._read, self._make_room = read, make_room
        self._marks: U8 = np.memmap(marks, np.uint8, "r+")
        # Kept open: a copy that was thrown away meanwhile goes on serving those who have it.
        self._file, self._lock = os.open(path, os.O_RDWR), os.open(marks, os.O_RDWR)
        for handle in (self._file, self._lock):
            weakref.finalize(self, os.close, handle)

    @contextlib.contextmanager
    def reading(self, first: I64, stop: I64) -> Iterator[None]:
        """Within the block the bytes first[n]:stop[n] are in the copy, and stay there."""
        blocks = _blocks_of(np.asarray(first, np.int64), np.asarray(stop, np.int64))
        for _ in range(3):
            handle = self._shared()
            missing = blocks[self._marks[blocks] == ABSENT]
            if not len(missing):
                break
            os.close(handle)
            self.fetch(missing)
        else:  # there is no room for so many at a time: they stay for now
            handle = self._shared()
            self.fetch(blocks[self._marks[blocks] == ABSENT], make_room=False)
        try:
            self._marks[blocks] = USED
            yield
        finally:
            os.close(handle)

    def hold_whole(self, filling: Path) -> int:
        """Have all of the file; a handle whose closing lets blocks go again. filling: a file to lock meanwhile."""
        handle = self._shared()
        try:
            with filling.open("w") as file:  # one process of the node fetches, others wait for it
                fcntl.flock(file, fcntl.LOCK_EX)
                self.fetch(np.flatnonzero(self._marks == ABSENT))
        except BaseException:
            os.close(handle)
            raise
        return handle

    def fetch(self, blocks: I64, *, make_room: bool = True) -> None:
        """Fetch blocks, ascending, and mark them."""
        for start in range(0, len(blocks), AT_ONCE):
            some = blocks[start : start + AT_ONCE]
            if make_room:
                self._make_room(len(some) * BLOCK)
            runs = _runs(some)
            with ThreadPoolExecutor(min(THREADS, len(runs))) as pool:
                list(pool.map(self._fetch, runs))

    def _fetch(self, run: tuple[int, int]) -> None:
        """Fetch the blocks from the first to before the second."""
        start, stop = run[0] * BLOCK, min(run[1] * BLOCK, self.size)
        data = self._read(start, stop)
        with disk_errors(str(self.path)):
            handle = self._shared()
            try:
                view = memoryview(data)
                while view:
                    view = view[os.pwrite(self._file, view, start + len(data) - len(view)) :]
                self._marks[run[0] : run[1]] = USED
            finally:
                os.close(handle)

    def _shared(self) -> int:
        """A lock of its own, also for a thread beside this one."""
        handle = os.open(f"/proc/self/fd/{self._lock}", os.O_RDWR)
        fcntl.flock(handle, fcntl.LOCK_SH)
        return handle


def create(path: Path, marks: Path, size: int, mark: int = ABSENT) -> None:
    """Make a copy's file, of no bytes yet, and its marks; with another mark the file is there already, whole."""
    if mark == ABSENT:
        with path.open("wb") as file:
            file.truncate(size)
    marks.write_bytes(bytes([mark]) * -(-size // BLOCK))


def give_up(path: Path, marks: Path, wanted: int) -> int:
    """Let go of blocks of about `wanted` bytes, those first that were not read lately; how many bytes that was.

    0 where somebody reads the file at this moment, or holds it whole.
    """
    try:
        handle = os.open(marks, os.O_RDWR)
    except FileNotFoundError:
        return 0
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found: U8 = np.memmap(marks, np.uint8, "r+")
        there = np.flatnonzero(found == UNUSED)
        if len(there) * BLOCK < wanted:
            used = np.flatnonzero(found == USED)
            there = np.concatenate([there, used])
            found[used] = UNUSED
        gone = there[: -(-wanted // BLOCK)]
        found[gone] = ABSENT
        _punch(path, np.sort(gone), found)
        return len(gone) * BLOCK
    except BlockingIOError:
        return 0
    finally:
        os.close(handle)


def _punch(path: Path, blocks: I64, marks: U8) -> None:
    """Give the space of blocks back; where the file system cannot do that for a part, of the whole file."""
    size = path.stat().st_size
    punch = ctypes.CDLL(None, use_errno=True).fallocate
    punch.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong)
    with path.open("r+b") as file:
        for first, stop in _runs(blocks, longest=len(blocks) or 1):
            if punch(file.fileno(), _KEEP_SIZE_AND_PUNCH, first * BLOCK, (stop - first) * BLOCK):
                marks[:] = ABSENT
                file.truncate(0)
                file.truncate(size)
                return


def _blocks_of(first: I64, stop: I64) -> I64:
    """The blocks that ranges of bytes lie in, ascending, each once."""
    kept = stop > first
    begin, end = first[kept] // BLOCK, (stop[kept] - 1) // BLOCK
    longest = int((end - begin).max(initial=0))
    parts = [begin, *(begin[begin + more <= end] + more for more in range(1, longest + 1))]
    return np.unique(np.concatenate(parts)).astype(np.int64)


def _runs(blocks: I64, longest: int = LONGEST) -> list[tuple[int, int]]:
    """Ascending blocks as runs (first, stop) of neighbours, each of at most `longest`."""
    runs: list[tuple[int, int]] = []
    for block in blocks.tolist():
        if runs and runs[-1][1] == block and block - runs[-1][0] < longest:
            runs[-1] = (runs[-1][0], block + 1)
        else:
            runs.append((block, block + 1))
    return runs
