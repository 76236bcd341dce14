"""Files written whole or not at all, arrays whose space is reserved first, and a full disk as one sentence."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from csrms_dist.basics.arrays import Matrix
from csrms_dist.errors import CsrmsError, RunDirectoryError

_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)

# What NumPy, PyTorch and safetensors say about a full disk: without an errno, and not always as an OSError.
_FULL_TEXT = re.compile(
    r"No space left|File too large|quota exceeded|\d+ requested and \d+ written|unexpected pos \d+|failed writing file"
)


@contextlib.contextmanager
def full_disk(place: str) -> Iterator[None]:
    """Turn a full disk, whichever library met it, into one sentence; let every other error pass."""
    try:
        yield
    except Exception as error:
        number = getattr(error, "errno", None)
        if isinstance(error, CsrmsError) or not (number in _FULL or _FULL_TEXT.search(str(error))):
            raise
        raise RunDirectoryError(
            f"cannot write below {place}",
            got=f"'{os.strerror(number)}'" if number else "a write that was cut short",
            remedy="nothing was left half-written; free some space (or raise the limit) and run the command again",
        ) from error


def readable(path: Path) -> None:
    """Give a file the mode that new files have: safetensors makes its own for their owner alone."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


@contextlib.contextmanager
def disk_errors(place: str) -> Iterator[None]:
    """Turn the operating system's refusals to write below `place` into one sentence."""
    try:
        with full_disk(place):
            yield
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise RunDirectoryError(
                place, got="a path with a regular file in it", expected="a folder", remedy="choose another --out"
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise RunDirectoryError(
                place, got="a folder that may not be written", remedy="change its permissions or choose another --out"
            ) from error
        if not error.errno:
            raise
        raise RunDirectoryError(
            place, got=f"'{os.strerror(error.errno)}'", expected="a place that can be written",
            remedy="choose another --out",
        ) from error  # fmt: skip


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside its place, flush it to disk and move it there."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with staged.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def reserve_npy(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> int:
    """Create a .npy file of zeros and reserve its space; returns where in it the values begin.

    A full disk is an error here, where writing to a memory map of the file would be a crash.
    """
    kind = np.dtype(dtype)
    with path.open("wb") as file:
        facts = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, facts)
        start = file.tell()
        if size := math.prod(shape) * kind.itemsize:
            os.posix_fallocate(file.fileno(), start, size)
    return start


class NpyWriter:
    """A .npy file (N, ...), filled in any order without holding it in memory; its space is reserved first."""

    def __init__(self, path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> None:
        self._dtype = np.dtype(dtype)
        self._row_bytes = math.prod(shape[1:]) * self._dtype.itemsize
        self._start = reserve_npy(path, dtype, shape)
        self._file = path.open("r+b")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def put(self, row: int, values: Matrix) -> None:
        """Write rows row, row + 1, ..."""
        self._file.seek(self._start + row * self._row_bytes)
        self._file.write(np.ascontiguousarray(values, self._dtype).data)


def link_or_copy(source: Path, target: Path) -> None:
    """A second name for a file, or for each of a folder's, or a copy where the file system has no links."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=lambda one, other: link_or_copy(Path(one), Path(other)))
        return
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, target)
