"""Files written whole or not at all, and a full disk as one sentence."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

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
        raise


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
