"""Every image below a folder, here or in a store, listed by many hands into blocks of names, a folder each.

A task lists folders until it has some ten thousand files, writes their names to a file of its own and gives back the
folders that are left: hands stay busy whatever the tree looks like, and nothing of it but its folders is in memory.
Folders are put in order at the end: the same tree gives the same rows, whoever listed what.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.ipc

from csrms_dist.datasets.addresses import bare, file_system, is_uri
from csrms_dist.datasets.decoding import SUFFIXES
from csrms_dist.datasets.folder_walk import Place, is_folder, shown
from csrms_dist.errors import DataError

FILES = 1 << 15
FOLDERS = 256
"""Files and folders of a task; a folder is never divided."""
REQUESTS = 32
ALONE_S = 3.0
"""So long one process is enough: others take a second to start."""
_SUFFIXES = tuple(SUFFIXES)
_SCHEMA = pa.schema([("name", pa.large_string()), ("size", pa.int64())])
_NO_SIZE = -1


@dataclass(frozen=True)
class Pending:
    """A folder that is not listed yet: its path below the root, with a slash at its end, and what lies above it."""

    path: str
    above: tuple[Place, ...] = ()


@dataclass(frozen=True)
class Block:
    """The images of one folder: rows of a file of names, sorted."""

    folder: str
    part: int
    first: int
    count: int


@dataclass
class Others:
    """Files that are left out, and the first of each kind by name. odd: images and folders whose names are no UTF-8."""

    count: int = 0
    first: str = ""
    odd: int = 0
    odd_first: str = ""

    def add(self, other: Others) -> None:
        self.count, self.odd = self.count + other.count, self.odd + other.odd
        self.first = min(filter(None, (self.first, other.first)), default="")
        self.odd_first = min(filter(None, (self.odd_first, other.odd_first)), default="")


@dataclass
class Listed:
    """The result of a listing, or of one of its tasks.

    blocks: the images of each folder that has any. folders: how many were looked at. left: not listed yet.
    """

    blocks: list[Block] = field(default_factory=list)
    others: Others = field(default_factory=Others)
    folders: int = 0
    left: list[Pending] = field(default_factory=list)

    @property
    def images(self) -> int:
        return sum(block.count for block in self.blocks)


Children: TypeAlias = tuple[pa.Table, list[Pending], Others]
"""Of a folder: names and sizes of its images, sorted; its folders; what is left out."""


def list_images(
    root: str, work: Path, hands: int, *, sizes: bool = True, on_images: Callable[[int], None] = lambda _: None
) -> Listed:
    """List what lies below a folder or a URI; the names lie in `work` and are read by `names_of`.

    Raises DataError for a folder that cannot be listed.

    hands: processes, this one among them; of a store, `REQUESTS` requests at a time.
    sizes: look up the size of each file, which on a file system is a call a file.
    """
    found, pending, running = Listed(), deque([Pending("")]), set[Future[Listed]]()
    numbers = count()

    def task(folders: int) -> tuple[Path, int, list[Pending]]:
        number = next(numbers)
        some = [pending.popleft() for _ in range(min(folders, len(pending)))]
        return work / f"{number}.arrow", number, some

    def take(some: Listed) -> None:
        found.blocks += some.blocks
        found.others.add(some.others)
        found.folders += some.folders
        pending.extend(some.left)
        on_images(some.images)

    begin = partial(_list_some, root, sizes)
    begun = time.monotonic()
    take(begin(*task(1)))
    while pending and (hands == 1 or time.monotonic() - begun < ALONE_S) and not is_uri(root):
        take(begin(*task(FOLDERS)))
    if not pending:
        return found
    with _pool(root, hands) as (pool, slots):
        while pending or running:
            while pending and len(running) < 2 * slots:
                running.add(pool.submit(begin, *task(min(FOLDERS, -(-len(pending) // (2 * slots))))))
            if pending and not is_uri(root):  # this process is one of the hands
                take(begin(*task(FOLDERS)))
            done, running = wait(running, 0 if pending else None, FIRST_COMPLETED)
            for future in done:
                take(future.result())
    return found


@contextmanager
def _pool(root: str, hands: int) -> Iterator[tuple[Executor, int]]:
    if is_uri(root):
        with ThreadPoolExecutor(REQUESTS) as threads:
            yield threads, REQUESTS
    else:  # processes: names and sizes are made under the interpreter's lock
        with ProcessPoolExecutor(hands - 1, mp_context=get_context("spawn")) as pool:
            yield pool, hands - 1


def names_of(work: Path, part: int) -> pa.Table:
    """The names and sizes that a task has written, memory-mapped."""
    with pa.memory_map(str(work / f"{part}.arrow")) as file:
        return pa.ipc.open_file(file.read_buffer()).read_all()


def _list_some(root: str, sizes: bool, path: Path, number: int, folders: Sequence[Pending]) -> Listed:
    """List folders and what lies below them, depth first, until there are FILES files; those left are given back."""
    children = partial(_in_store, root) if is_uri(root) else partial(_in_folder, root, sizes)
    found, waiting = Listed(), list(reversed(folders))
    n = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as file:
        tables: list[pa.Table] = []
        while waiting and n < FILES and found.folders < FOLDERS:
            folder = waiting.pop()
            table, below, others = children(folder)
            if len(table):
                found.blocks.append(Block(folder.path, number, n, len(table)))
                tables.append(table)
            n += len(table)
            found.folders += 1
            found.others.add(others)
            waiting += reversed(below)
        if tables:
            file.write_table(pa.concat_tables(tables).combine_chunks())
    found.left = waiting
    return found


# ------------------------------------------------------------------------------------------------------ one folder


class _Names:
    """Names and sizes as Arrow arrays, some thousand at a time: a list of ten million takes a gigabyte."""

    def __init__(self, folder: str) -> None:
        self.others = Others()
        self._folder, self._blocks = folder, list[pa.RecordBatch]()

    def add(self, names: list[str], sizes: Sequence[int]) -> None:
        try:
            texts = pa.array(names, pa.large_string())
        except UnicodeEncodeError:  # bytes that are no UTF-8
            odd = [not _is_utf8(name) for name in names]
            first = min(shown(name) for name, is_odd in zip(names, odd, strict=True) if is_odd)
            self.others.add(Others(odd=sum(odd), odd_first=shown(self._folder) + first))
            pairs = [pair for pair, is_odd in zip(zip(names, sizes, strict=True), odd, strict=True) if not is_odd]
            return self.add([name for name, _ in pairs], [size for _, size in pairs])
        numbers = np.fromiter(sizes, np.int64, len(names))
        self._blocks.append(pa.record_batch([texts, pa.array(numbers, mask=numbers == _NO_SIZE)], schema=_SCHEMA))

    def left_out(self, name: str) -> None:
        self.others.add(Others(1, shown(self._folder + name)))

    def sorted(self) -> pa.Table:
        """All of them, by name."""
        table = pa.Table.from_batches(self._blocks, _SCHEMA)
        if len(self._blocks) < 2:
            return table  # sorted before its sizes were looked up
        return table.take(pc.sort_indices(table["name"])).combine_chunks()


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _in_folder(root: str, sizes: bool, folder: Pending) -> Children:
    """What lies in a folder of a file system; links are followed, but into no folder again from within itself."""
    path = root + folder.path
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unlisted(path, error) from error
    try:
        status = os.fstat(handle)
        place = (status.st_dev, status.st_ino)
        if place in folder.above:
            return _SCHEMA.empty_table(), [], Others()
        found, names, below = _Names(folder.path), list[str](), list[str]()
        with os.scandir(handle) as entries:
            for entry in entries:
                name = entry.name
                if name[0] == ".":
                    continue
                if is_folder(entry):
                    below.append(name)
                elif name.endswith(_SUFFIXES) or name.lower().endswith(_SUFFIXES):
                    names.append(name)
                    if len(names) == FILES:
                        _add(found, names, handle, sizes)
                else:
                    found.left_out(name)
        _add(found, names, handle, sizes)
    except OSError as error:
        raise _unlisted(path, error) from error
    finally:
        os.close(handle)
    for name in below:
        if not _is_utf8(name):
            found.others.add(Others(odd=1, odd_first=shown(folder.path + name)))
    below = [name for name in below if _is_utf8(name)]
    above = (*folder.above, place)
    return found.sorted(), [Pending(f"{folder.path}{name}/", above) for name in sorted(below)], found.others


def _add(found: _Names, names: list[str], handle: int, sizes: bool) -> None:
    names.sort()
    found.add(names, [_size(name, handle) for name in names] if sizes else [_NO_SIZE] * len(names))
    names.clear()


def _size(name: str, handle: int) -> int:
    try:
        return os.stat(name, dir_fd=handle).st_size
    except OSError:  # a link that leads nowhere: set aside when it is read
        return _NO_SIZE


def _in_store(root: str, folder: Pending) -> Children:
    """What lies in a folder of a store, its sizes included."""
    plain, options = bare(root)
    system, base = file_system(plain + options)
    try:
        infos = system.get_file_info(pafs.FileSelector(base.rstrip("/") + "/" + folder.path, recursive=False))
    except OSError as error:
        raise _unlisted(plain + folder.path, error) from error
    found, below, images = _Names(folder.path), list[Pending](), list[tuple[str, int]]()
    for info in infos:
        name = info.base_name
        if name.startswith("."):
            continue
        if info.type == pafs.FileType.Directory:
            below.append(Pending(f"{folder.path}{name}/"))
        elif name.lower().endswith(_SUFFIXES):
            images.append((name, info.size if info.size is not None else _NO_SIZE))
        elif name:
            found.left_out(name)
    images.sort()
    found.add([name for name, _ in images], [size for _, size in images])
    return found.sorted(), sorted(below, key=lambda some: some.path), found.others


def _unlisted(path: str, error: OSError) -> DataError:
    said = error.strerror or " ".join(str(error).split())[:300]
    return DataError(
        shown(path), got=f"'{said}'", expected="a folder that can be read", remedy="check its name and its permissions"
    )
