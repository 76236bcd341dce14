"""Where an image lies: a path of this machine, or a URI of a store that pyarrow.fs knows (s3://, gs://, hdfs://, ...).

Images of a store are fetched by many requests at a time, a bounded number ahead of whoever reads them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from csrms_dist.datasets.decoding import Stored, Unreadable
from csrms_dist.errors import ConfigError, DataError

REQUESTS = 64
AHEAD_BYTES = 1 << 28
ATTEMPTS, PAUSE_S = 4, 0.5
_FILE = "file://"
open_uri = pafs.FileSystem.from_uri
"""URI -> (file system, path on it)."""


def is_uri(address: str) -> bool:
    """Whether an address names a store, and not a path of this machine."""
    return "://" in address and not address.startswith(_FILE)


def local_path(address: str) -> Path:
    """The path of an address that is no URI of a store; file:// is allowed before it."""
    return Path(unquote(address.removeprefix(_FILE))) if address.startswith(_FILE) else Path(address)


def bare(uri: str) -> tuple[str, str]:
    """(a folder's URI without its options and with a slash at the end, its options with their question mark)."""
    plain, mark, options = uri.partition("?")
    return plain.rstrip("/") + "/", mark + options


@lru_cache(maxsize=64)
def file_system(uri: str) -> tuple[pafs.FileSystem, str]:
    """The file system of a URI, and the path that it has there.

    Raises ConfigError for a URI that pyarrow.fs does not know, or one with a password: it would lie in every table.
    """
    if "@" in urlsplit(uri).netloc:
        raise ConfigError(
            uri.partition("@")[2], got="a URI with a password in it", expected="one without",
            remedy="put it into the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)",
        )  # fmt: skip
    if pa.io_thread_count() < REQUESTS:  # a store's client makes as many connections
        pa.set_io_thread_count(REQUESTS)
    try:
        found: tuple[pafs.FileSystem, str] = open_uri(uri)
    except (pa.ArrowException, OSError, ValueError) as error:
        got, expected = f"'{error}'", "a path or a URI such as s3://bucket/images"
        raise ConfigError(uri, got=got, expected=expected) from error
    return found


def path_of(uri: str, options: str = "") -> tuple[pafs.FileSystem, str]:
    """(file system, path on it) of one of many objects of a bucket, which share a file system."""
    scheme, _, rest = uri.partition("://")
    bucket, _, below = rest.partition("/")
    system, base = file_system(f"{scheme}://{bucket}{options}")
    return system, f"{base.rstrip('/')}/{below}"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a store, as far as a fingerprint and Parquet's reader need it."""

    uri: str

    def __str__(self) -> str:
        return self.uri

    def __fspath__(self) -> str:
        return self.uri

    @property
    def name(self) -> str:
        return self.uri.partition("?")[0].rpartition("/")[2]

    def stat(self) -> Facts:
        """Size and time of change. Raises FileNotFoundError."""
        system, path = file_system(self.uri)
        info = system.get_file_info(path)
        if not info.is_file:
            raise FileNotFoundError(self.uri)
        return Facts(info.size, info.mtime_ns or 0)

    def open(self) -> pa.NativeFile:
        system, path = file_system(self.uri)
        return system.open_input_file(path)


@dataclass(frozen=True)
class Facts:
    """As `os.stat_result` calls them."""

    st_size: int
    st_mtime_ns: int


def stored(addresses: Iterable[str | None], options: str = "") -> Iterator[Stored]:
    """The images of some addresses, in order: paths, which are read later, and the bytes of objects of a store.

    An object that is not there is unreadable. Raises DataError when a store fails `ATTEMPTS` times: that says nothing
    about the image.

    options: of the URIs, such as '?region=eu-central-1'.
    """
    waiting: deque[Stored | Future[bytes | Unreadable]] = deque()
    pool = ThreadPoolExecutor(REQUESTS, thread_name_prefix="fetch")  # makes no thread before there is a request
    try:
        for address in addresses:
            remote = address is not None and is_uri(address)
            item = None if address is None else local_path(address)
            if not remote and not waiting:
                yield item
                continue
            waiting.append(pool.submit(fetch, str(address), options) if remote else item)
            while waiting and (len(waiting) >= 2 * REQUESTS or _bytes(waiting) > AHEAD_BYTES):
                yield _arrived(waiting.popleft())
        while waiting:
            yield _arrived(waiting.popleft())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _arrived(item: Stored | Future[bytes | Unreadable]) -> Stored:
    return item.result() if isinstance(item, Future) else item


def _bytes(waiting: Iterable[Stored | Future[bytes | Unreadable]]) -> int:
    """What has arrived and nobody has taken."""
    arrived = (item.result() for item in waiting if isinstance(item, Future) and item.done() and not item.exception())
    return sum(len(item) for item in arrived if isinstance(item, bytes))


def fetch(uri: str, options: str = "") -> bytes | Unreadable:
    """The bytes of an object of a store. Raises DataError when the store fails `ATTEMPTS` times."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            system, path = path_of(uri, options)
            with system.open_input_stream(path) as file:
                content: bytes = file.read()
            return content or Unreadable("no bytes")
        except FileNotFoundError:
            return Unreadable("no such file or directory")
        except OSError as error:
            if attempt == ATTEMPTS:
                raise DataError(
                    uri, got=f"'{' '.join(str(error).split())[:300]}'", expected="an object that can be read",
                    remedy="check the store and its credentials; the same command goes on from here",
                ) from error  # fmt: skip
            time.sleep(PAUSE_S * 2**attempt)
    raise AssertionError("unreachable")
