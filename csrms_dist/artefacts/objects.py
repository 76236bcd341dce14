"""The objects below a root that is not local: read by range, put whole, tried again while the store does not answer.

Every complaint of a store is one sentence of ours: what a library says may name keys, hosts and requests.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.fs as pafs

from csrms_dist.artefacts.conditional import conditional_puts
from csrms_dist.artefacts.file_systems import OBJECT_STORES, Bucket
from csrms_dist.basics.progress import waiting_for
from csrms_dist.errors import ConfigError, CsrmsError, RunDirectoryError

WAIT = "CSRMS_STORAGE_WAIT_S"
"""The variable that says for how long a store that does not answer is asked again."""
WAIT_S = 120.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 8.0
THREADS = 8
CHUNK = 1 << 23

_SECRET = re.compile(
    r"SIGNATURE_DOES_NOT_MATCH|SignatureDoesNotMatch|INVALID_ACCESS_KEY|InvalidAccessKey|INVALID_CLIENT|EXPIRED_TOKEN"
    r"|ExpiredToken|UNRECOGNIZED_CLIENT|MISSING_AUTHENTICATION|UnauthenticatedError|INVALID_SIGNATURE|HTTP status 401"
)
_DENIED = re.compile(r"ACCESS_DENIED|AccessDenied|403 Forbidden|HTTP status 403|PERMISSION_DENIED")
_NO_BUCKET = re.compile(r"NO_SUCH_BUCKET|NoSuchBucket")
_SLEEP = time.sleep

Answer = TypeVar("Answer")


class Objects:
    """Objects below `root`, by name. shown: the root's URI, for sentences. bucket: where it is one of S3.

    Every call raises RunDirectoryError where the store refuses, and where it does not answer for CSRMS_STORAGE_WAIT_S.
    """

    def __init__(self, system: pafs.FileSystem, root: str, shown: str, bucket: Bucket | None = None) -> None:
        self.system, self.root, self.shown = system, root, shown
        self.has_folders = system.type_name not in OBJECT_STORES
        self._bucket = bucket
        self._conditional = conditional_puts(bucket)

    def read(self, name: str) -> bytes | None:
        """An object; None where there is none."""

        def read() -> bytes | None:
            try:
                with self.system.open_input_stream(self._key(name)) as file:
                    return bytes(file.read())
            except (FileNotFoundError, NotADirectoryError):
                return None

        return self._again(read)

    def open(self, name: str) -> Callable[[int, int], bytes]:
        """A function (start, stop) -> those bytes of an object that does not change; it may be called by threads."""
        opened: list[Any] = []

        def read(start: int, stop: int) -> bytes:
            def once() -> bytes:
                try:
                    if not opened:
                        opened.append(self.system.open_input_file(self._key(name)))
                    found = bytes(opened[-1].read_at(stop - start, start))
                except FileNotFoundError as error:
                    raise RunDirectoryError(
                        self.shown, got=f"no {name} any more", expected="an artefact that stays while it is read",
                        remedy="another command replaced it: run the same command again",
                    ) from error  # fmt: skip
                except OSError:
                    opened.clear()
                    raise
                if len(found) != stop - start:
                    raise OSError(f"{len(found)} of {stop - start} bytes")
                return found

            return self._again(once)

        return read

    def put(self, name: str, data: bytes) -> None:
        """Write a small object, whole or not at all."""
        self._put(name, lambda sink: sink.write(data))

    def put_file(self, name: str, path: Path) -> None:
        """Write a file's bytes, whole or not at all; begun anew where the connection was cut."""

        def copy(sink: Any) -> None:
            with path.open("rb") as file:
                while block := file.read(CHUNK):
                    sink.write(block)

        self._put(name, copy)

    def put_files(self, folder: Path, names: list[str], below: str) -> None:
        """Write some files of a folder to names below another, several at a time."""
        with ThreadPoolExecutor(THREADS if len(names) > 1 and not self.has_folders else 1) as pool:
            list(pool.map(lambda name: self.put_file(f"{below}/{name}", folder / name), names))

    def put_if(self, name: str, data: bytes, before: bytes | None) -> bool:
        """Put an object where it still is `before` (None: where there is none); whether that was so.

        Exact where the store puts conditionally, else as good as reading it back is.
        """
        if self._conditional is not None and self._bucket is not None:
            puts, key = self._conditional, self._key(name).removeprefix(f"{self._bucket.name}/")
            return self._again(lambda: puts.put(key, data, before), writing=True)
        if self.read(name) != before:
            return False
        self.put(name, data)
        return self.read(name) == data

    @property
    def is_conditional(self) -> bool:
        """Whether `put_if` is exact."""
        return self._conditional is not None

    def sizes(self, below: str) -> dict[str, int]:
        """The size of every object below a name, by what follows the name."""
        prefix = self._key(below)
        found = self._list(prefix, recursive=True)
        return {info.path.removeprefix(prefix).lstrip("/"): int(info.size) for info in found if info.is_file}

    def names(self, below: str = "") -> list[str]:
        """What lies directly below a name, objects and folders; below the root perhaps folders that are empty now."""
        if not below or self.has_folders:
            return sorted(info.base_name for info in self._list(self._key(below), recursive=False))
        return sorted({name.partition("/")[0] for name in self.sizes(below)})

    def changed(self, name: str) -> tuple[int, int] | None:
        """(size, time of change in ns) of an object; None where there is none."""
        info = self._again(lambda: self.system.get_file_info(self._key(name)))
        return (int(info.size), int(info.mtime_ns or 0)) if info.is_file else None

    def exists(self, name: str) -> bool:
        """Whether there is an object or a folder of this name."""
        found = self._again(lambda: self.system.get_file_info(self._key(name)).type)
        if found == pafs.FileType.Directory and not self.has_folders:
            return bool(self.sizes(name))  # a folder of nothing is none
        return bool(found != pafs.FileType.NotFound)

    def remove(self, name: str) -> None:
        """Remove an object, or all below a name; nothing where there is nothing."""

        def remove() -> None:
            try:
                info = self.system.get_file_info(self._key(name))
                if info.is_file:
                    self.system.delete_file(info.path)
                elif info.type != pafs.FileType.NotFound:
                    self.system.delete_dir(info.path)
            except FileNotFoundError:
                return

        self._again(remove, writing=True)

    def check(self) -> None:
        """Raise RunDirectoryError where the store, or its bucket, cannot be read at all."""
        self._list(self.root, recursive=False, missing_ok=False)

    def _key(self, name: str) -> str:
        return f"{self.root}/{name}".rstrip("/")

    def _list(self, key: str, *, recursive: bool, missing_ok: bool = True) -> list[Any]:
        def found() -> list[Any]:
            selector = pafs.FileSelector(key, recursive=recursive, allow_not_found=missing_ok)
            try:
                return list(self.system.get_file_info(selector))
            except (FileNotFoundError, NotADirectoryError):
                return []

        return self._again(found)

    def _put(self, name: str, write: Callable[[Any], object]) -> None:
        def put() -> None:
            key = self._key(name)
            if not self.has_folders:
                with self.system.open_output_stream(key) as sink:
                    write(sink)
                return
            self.system.create_dir(key.rpartition("/")[0], recursive=True)
            staged = f"{key}.{secrets.token_hex(4)}"
            try:
                with self.system.open_output_stream(staged) as sink:
                    write(sink)
                self.system.move(staged, key)
            except BaseException:
                if self.system.get_file_info(staged).is_file:
                    self.system.delete_file(staged)
                raise

        self._again(put, writing=True)

    def _again(self, do: Callable[[], Answer], *, writing: bool = False) -> Answer:
        """do(), again while the store does not answer, with longer and longer pauses."""
        pause, until = FIRST_PAUSE_S, time.monotonic() + patience_s()
        while True:
            try:
                return do()
            except CsrmsError:
                raise
            except Exception as error:
                if not isinstance(error, OSError | pa.ArrowException) and not _of_obstore(error):
                    raise
                self._refuse(error, writing)
                if time.monotonic() + pause > until:
                    raise RunDirectoryError(
                        self.shown, got=f"no whole answer for {patience_s():g} s",
                        expected="a store that answers",
                        remedy=f"check its address (for S3 AWS_ENDPOINT_URL and AWS_REGION) and run the same command "
                        f"again, or raise {WAIT}",
                    ) from error  # fmt: skip
                waiting_for(f"{self.shown} does not answer; trying again for {patience_s():g} s")
                _SLEEP(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    def _refuse(self, error: Exception, writing: bool) -> None:
        """Raise what would come again however often it is tried."""
        said, number = f"{type(error).__name__} {error}", getattr(error, "errno", None)
        if _DENIED.search(said) and not _SECRET.search(said):
            said = self._why_denied() or said  # S3 answers some requests without a word
        if _SECRET.search(said):
            raise RunDirectoryError(
                self.shown, got="credentials that the store refuses", expected="those of a user that it knows",
                remedy="check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the clock of this machine",
            ) from error  # fmt: skip
        if _NO_BUCKET.search(said):
            raise RunDirectoryError(
                self.shown, got="a bucket that is not there", expected="one that was made before",
                remedy="make it, or choose another",
            ) from error  # fmt: skip
        if _DENIED.search(said) or number in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise RunDirectoryError(
                self.shown, got=f"credentials that may not {'write' if writing else 'read'} there",
                remedy=f"allow it, or choose another {'--out' if writing else 'place'}",
            ) from error  # fmt: skip
        if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise error
        if number in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
            raise RunDirectoryError(
                self.shown, got="a path with a regular file in it", expected="a folder", remedy="choose another --out"
            ) from error

    def _why_denied(self) -> str:
        try:
            self.system.get_file_info(pafs.FileSelector(self.root, allow_not_found=True))
        except (OSError, pa.ArrowException) as error:
            return str(error)
        return ""


def patience_s() -> float:
    """CSRMS_STORAGE_WAIT_S. Raises ConfigError for what is no number of seconds."""
    given = os.environ.get(WAIT, "")
    try:
        seconds = float(given or WAIT_S)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ConfigError(f"the variable {WAIT}", got=repr(given), expected="a number of seconds")
    return seconds


def _of_obstore(error: Exception) -> bool:
    return type(error).__module__.startswith("obstore")
