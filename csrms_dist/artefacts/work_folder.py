"""The folder of unfinished work of a stage: its checkpoint, the feature bank's generations, refreshed patterns.

Of a local run it is a folder that all workers share, and nothing here does anything. Of a run elsewhere it lies in each
node's cache, and what others need is mirrored in the run's store; `RunDirectory.work` tells this process where.

    share(path)   a file or a folder in it is whole: put it into the store, before others look for it
    bring(path)   before reading: have what was shared last; whether there is anything
    drop(path)    remove it, here and there
    bring_all(folder)   all that was shared, for whoever goes on where other nodes have worked

What is shared lies there as an artefact does, under a stamp that is written last. So a checkpoint that is shared after
the files that it names is whole too, and a training goes on from it wherever it is started again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from csrms_dist.artefacts.files import disk_errors, write_whole
from csrms_dist.artefacts.names import STAMP
from csrms_dist.artefacts.objects import Objects

_SEEN = ".seen"
"""The folder of notes: the stamp of what a file here is equal to."""
_PART = 1 << 23


@dataclass(frozen=True)
class _Mirror:
    objects: Objects
    name: str


_MIRRORS: dict[Path, _Mirror] = {}


def mirrored(folder: Path, objects: Objects, name: str) -> Path:
    """Say that a folder is mirrored below a name, for this process; gives the folder."""
    _MIRRORS[folder] = _Mirror(objects, name)
    return folder


def share(path: Path) -> None:
    """Put a file or a folder that is whole into the store. Raises RunDirectoryError when that fails."""
    for mirror, folder, name in _found(path):
        base = path if path.is_dir() else path.parent
        found = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        files, upload = {str(one.relative_to(base)): one.stat().st_size for one in found}, secrets.token_hex(8)
        mirror.objects.put_files(base, list(files), f"{name}/{upload}")
        stamp = json.dumps({"upload": upload, "files": files, "folder": path.is_dir()}, sort_keys=True).encode()
        mirror.objects.put(f"{name}/{STAMP}", stamp)
        for left in mirror.objects.names(name):
            if left not in (upload, STAMP):
                mirror.objects.remove(f"{name}/{left}")
        with _alone(folder):
            _note(folder, path, stamp)


def bring(path: Path) -> bool:
    """Have the file or folder that was shared last; whether there is one. Raises RunDirectoryError when that fails."""
    for mirror, folder, name in _found(path):
        with _alone(folder):  # of the workers of a node one fetches
            stamp = mirror.objects.read(f"{name}/{STAMP}")
            if stamp is None:
                _remove(path)
                return False
            if path.exists() and _noted(folder, path) == stamp:
                return True
            facts = json.loads(stamp)
            staged = path.with_name(f".{path.name}.brought")
            _remove(staged)
            with disk_errors(str(path)):
                for inner, size in facts["files"].items():
                    target = staged / inner if facts["folder"] else staged
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _fetch(mirror.objects, f"{name}/{facts['upload']}/{inner}", target, size)
                _remove(path)
                staged.rename(path)
            _note(folder, path, stamp)
    return path.exists()


def bring_all(folder: Path) -> None:
    """Have all that was shared of a work folder, by whichever node."""
    for mirror in filter(None, (_MIRRORS.get(folder),)):
        for name in mirror.objects.names(mirror.name):
            bring(folder / name)


def drop(path: Path) -> None:
    """Remove a file or a folder, here and in the store; nothing where there is none."""
    for mirror, _, name in _found(path):
        mirror.objects.remove(name)
    _remove(path)


def _found(path: Path) -> Iterator[tuple[_Mirror, Path, str]]:
    """The mirror of what a path lies in, if there is one, and the path's name there."""
    for folder in path.parents:
        if folder in _MIRRORS:
            mirror = _MIRRORS[folder]
            yield mirror, folder, f"{mirror.name}/{path.relative_to(folder)}"
            return


def _fetch(objects: Objects, name: str, target: Path, size: int) -> None:
    read = objects.open(name)
    with target.open("wb") as file:
        for start in range(0, size, _PART):
            file.write(read(start, min(start + _PART, size)))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _note(folder: Path, path: Path, stamp: bytes) -> None:
    note = folder / _SEEN / str(path.relative_to(folder)).replace("/", "%")
    note.parent.mkdir(exist_ok=True)
    write_whole(note, stamp)


def _noted(folder: Path, path: Path) -> bytes | None:
    note = folder / _SEEN / str(path.relative_to(folder)).replace("/", "%")
    return note.read_bytes() if note.exists() else None


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".bringing").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
