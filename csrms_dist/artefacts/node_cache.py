"""The cache of a node: copies of artefacts that lie elsewhere, shared by its processes, within a bound.

    artefacts/<key>/   the files of an artefact; large ones sparse, filled as they are read
    state/<key>/       in_use: locked by who reads it; ready: the small files are there; <n>.marks: see `ranged_file`
    staging/, work/    what is being written: not counted, and never thrown away to make room

An entry's key names one upload of one artefact, so no copy is ever stale. What was read longest ago goes first: whole
entries that nobody has open, then blocks of large files that are read by range. What a process holds stays, beyond the
bound if need be.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from csrms_dist.artefacts.files import full_disk, write_whole
from csrms_dist.artefacts.ranged_file import UNUSED, RangedFile, create, give_up
from csrms_dist.basics.progress import warn
from csrms_dist.errors import ConfigError, RunDirectoryError

CACHE, CACHE_GB = "CSRMS_CACHE", "CSRMS_CACHE_GB"
"""The variables of the folder and of its bound, in units of 10^9 bytes."""
GB = 50.0
WHOLE = 8 << 20
"""Files up to this size are copied whole."""
TRIES, PAUSE_S = 20, 0.02

Read = Callable[[int, int], bytes]


class Entry:
    """The copy of one artefact, which stays until `close`. opened: a file's name -> how its bytes are read there."""

    def __init__(
        self, cache: NodeCache, folder: Path, state: Path, sizes: Mapping[str, int], opened: Callable[[str], Read]
    ) -> None:
        self.folder = folder
        self._cache, self._state, self._opened = cache, state, opened
        self._sizes = dict(sizes)
        self._in_use: int | None = cache.use(state)
        self._ranged: dict[str, RangedFile] = {}
        self._whole: dict[str, int] = {}
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def ranged(self, name: str) -> RangedFile:
        """A large file, to be read by range."""
        if name not in self._ranged:
            path, marks = self.folder / name, _marks(self._state, self._sizes, name)
            read, room = self._opened(name), self._cache.make_room
            self._ranged[name] = RangedFile(path, marks, self._sizes[name], read, room)
        return self._ranged[name]

    def is_large(self, name: str) -> bool:
        """Whether a file may have holes."""
        return self._sizes[name] > WHOLE

    def have_whole(self, names: list[str]) -> None:
        """Have all bytes of files, as long as this process lives: whoever maps them never reads a hole."""
        for name in names:
            if self.is_large(name) and name not in self._whole:
                filling = _marks(self._state, self._sizes, name).with_suffix(".filling")
                self._whole[name] = self.ranged(name).hold_whole(filling)

    def close(self) -> None:
        """Let the entry go where room is needed; what is open or mapped of it stays readable."""
        if self._in_use is not None:
            os.close(self._in_use)
            self._in_use = None

    def _prepare(self) -> None:
        with self._cache.lock(self._state / "making"):
            if (self._state / "ready").exists():
                return
            shutil.rmtree(self.folder, ignore_errors=True)
            small = [name for name in self._sizes if not self.is_large(name)]
            self._cache.make_room(sum(self._sizes[name] for name in small))
            with cache_errors(self.folder):
                self.folder.mkdir(parents=True)
                for name, size in self._sizes.items():
                    path = self.folder / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    if self.is_large(name):
                        create(path, _marks(self._state, self._sizes, name), size)
                    else:
                        path.write_bytes(self._opened(name)(0, size) if size else b"")
                write_whole(self._state / "ready", b"")


class NodeCache:
    """The cache in a folder. bound: bytes that copies may take."""

    def __init__(self, folder: Path, bound: int) -> None:
        self.folder, self.bound = folder, bound
        self._warned = False

    @classmethod
    def of_this_node(cls) -> NodeCache:
        """That of CSRMS_CACHE, else of the user's cache folder. Raises ConfigError for a bound that is no number."""
        base = os.environ.get(CACHE) or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "csrms"
        given = os.environ.get(CACHE_GB, "")
        try:
            gigabytes = float(given or GB)
        except ValueError:
            gigabytes = 0.0
        if not 0 < gigabytes < float("inf"):
            raise ConfigError(f"the variable {CACHE_GB}", got=repr(given), expected="a number above 0")
        return cls(Path(base).absolute(), int(gigabytes * 1e9))

    def entry(self, key: str, sizes: Mapping[str, int], opened: Callable[[str], Read]) -> Entry:
        """The copy of an artefact; its small files are there."""
        return Entry(self, self.folder / "artefacts" / key, self.folder / "state" / key, sizes, opened)

    def adopt(self, key: str, folder: Path, sizes: Mapping[str, int]) -> None:
        """Take a folder, which goes, as the copy of the artefact that was just made of it."""
        target, state = self.folder / "artefacts" / key, self.folder / "state" / key
        handle = self.use(state)
        try:
            with self.lock(state / "making"):
                target.parent.mkdir(parents=True, exist_ok=True)
                folder.rename(target)
                for name, size in sizes.items():
                    if size > WHOLE:
                        create(target / name, _marks(state, sizes, name), size, UNUSED)
                write_whole(state / "ready", b"")
        finally:
            os.close(handle)
        self.make_room(0)

    @contextlib.contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        """A folder to write an artefact in, gone at the end; those of killed processes go too."""
        base = self.folder / "staging"
        with cache_errors(base):
            self._make()
            base.mkdir(exist_ok=True)
            for lock in base.glob("*.lock"):
                with contextlib.suppress(OSError), lock.open("w") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                    lock.unlink()
            folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=base))
            lock = folder.with_name(f"{folder.name}.lock")
            file = lock.open("w")
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink(missing_ok=True)

    def work(self, key: str) -> Path:
        """A folder for unfinished work."""
        return self.folder / "work" / key

    def use(self, state: Path) -> int:
        """Keep an entry from being thrown away until the handle is closed, and note that it is read now."""
        while True:
            with cache_errors(self.folder):
                self._make()
                state.mkdir(parents=True, exist_ok=True)
                handle = os.open(state / "in_use", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(handle, fcntl.LOCK_SH)
            with contextlib.suppress(FileNotFoundError):
                if (state / "in_use").stat().st_ino == os.fstat(handle).st_ino:
                    os.utime(handle)
                    return handle
            os.close(handle)  # it was thrown away just before

    @contextlib.contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """One process at a time."""
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def used(self) -> int:
        """Bytes on disk of all copies; holes take none."""
        return sum(_bytes(path) for path in (self.folder / "artefacts").glob("*"))

    def make_room(self, wanted: int) -> None:
        """Throw copies away until `wanted` more bytes are within the bound; what is held stays."""
        with cache_errors(self.folder):
            self._make()
        for _ in range(1 if self._warned else TRIES):
            with self.lock(self.folder / ".room"):
                excess = self.used() + wanted - self.bound
                for state in self._oldest_first():
                    if excess > 0:
                        excess -= self._throw_away(state)
                for state in self._oldest_first():
                    if excess > 0:
                        excess -= self._give_up_blocks(state, excess)
            if excess <= 0:
                return
            time.sleep(PAUSE_S)  # who reads at this moment may be done in the next
        if not self._warned:
            self._warned = True
            warn(
                f"the cache {self.folder} takes more than {CACHE_GB} {self.bound / 1e9:g}, for all of it is being read"
            )

    def _make(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # what others may not read in the store

    def _oldest_first(self) -> list[Path]:
        def read_at(state: Path) -> float:
            try:
                return (state / "in_use").stat().st_mtime
            except FileNotFoundError:
                return 0.0

        return sorted((self.folder / "state").glob("*"), key=read_at)

    def _throw_away(self, state: Path) -> int:
        """Remove an entry that nobody has open; the bytes that this freed."""
        folder = self.folder / "artefacts" / state.name
        try:
            with (state / "in_use").open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                freed = _bytes(folder)
                (state / "ready").unlink(missing_ok=True)
                shutil.rmtree(folder, ignore_errors=True)
                shutil.rmtree(state, ignore_errors=True)
                return freed
        except (BlockingIOError, FileNotFoundError):
            return 0

    def _give_up_blocks(self, state: Path, wanted: int) -> int:
        freed = 0
        for marks in sorted(state.glob("*.marks")):
            named = marks.with_suffix(".name")
            if freed < wanted and named.exists():
                path = self.folder / "artefacts" / state.name / json.loads(named.read_text())
                freed += give_up(path, marks, wanted - freed)
        return freed


@contextlib.contextmanager
def cache_errors(folder: Path) -> Iterator[None]:
    """Turn refusals to write in the cache into one sentence."""
    try:
        with full_disk(str(folder)):
            yield
    except OSError as error:
        if not error.errno:
            raise
        raise RunDirectoryError(
            f"the cache {folder}", got=f"'{os.strerror(error.errno)}'", expected="a folder that can be written",
            remedy=f"set {CACHE} to one on a local disk",
        ) from error  # fmt: skip


def _marks(state: Path, sizes: Mapping[str, int], name: str) -> Path:
    """The file of a file's marks, beside which its name stands."""
    marks = state / f"{sorted(sizes).index(name)}.marks"
    if not marks.exists():
        marks.with_suffix(".name").write_text(json.dumps(name))
    return marks


def _bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_blocks * 512
    return total
