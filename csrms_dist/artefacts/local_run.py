"""A run directory that is a local folder, or one that nodes share: artefacts are folders, renamed to their place."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from csrms_dist.artefacts.files import disk_errors, full_disk, readable, write_whole
from csrms_dist.artefacts.names import CHECKPOINTS, STAMP
from csrms_dist.artefacts.ranged_file import RangedFile
from csrms_dist.errors import RunDirectoryError


class LocalRun:
    """A `Place` (see run_directory.py). uri: the folder as it was named."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder, self.uri = folder, uri

    def read(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, data: bytes) -> None:
        with disk_errors(self.uri):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / name, data)

    def sizes(self, artefact: str, stamp: dict[str, Any]) -> dict[str, int]:
        found = {}
        for name in stamp["files"]:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found[name] = (self.folder / artefact / name).stat().st_size
        return found

    def exists(self, name: str) -> bool:
        return (self.folder / name).exists()

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        with disk_errors(self.uri):
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / ".lock").open("w")
        with file, full_disk(self.uri):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunDirectoryError(
                    self.uri, got="a run that another command is writing", remedy="wait for it or choose another --out"
                ) from error
            yield

    @contextlib.contextmanager
    def staging(self, artefact: str) -> Iterator[Path]:
        with disk_errors(self.uri):
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in self.folder.glob(f".{artefact}.????????"):  # of an attempt that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix=f".{artefact}.", dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, staging: Path, artefact: str, stamp: dict[str, Any]) -> None:
        for name in stamp["files"]:
            readable(staging / name)
            with (staging / name).open("rb") as file:
                os.fsync(file.fileno())
        write_whole(staging / STAMP, as_bytes(stamp))
        staging.chmod(0o755)
        target = self.folder / artefact
        if target.exists():
            retired = Path(tempfile.mkdtemp(prefix=f".{artefact}.", dir=self.folder))
            target.rename(retired / "old")
            staging.rename(target)
            shutil.rmtree(retired, ignore_errors=True)
        else:
            staging.rename(target)

    def discard(self, artefact: str, stamp: dict[str, Any]) -> None:
        place = self.folder / artefact
        write_whole(place / STAMP, as_bytes(stamp))
        for name in stamp["files"]:
            (place / name).unlink(missing_ok=True)

    def open(self, artefact: str, stamp: dict[str, Any], by_range: tuple[str, ...]) -> Path:
        return self.folder / artefact

    def ranged(self, artefact: str, stamp: dict[str, Any], name: str) -> RangedFile | None:
        return None

    def uri_of(self, artefact: str, stamp: dict[str, Any] | None, name: str) -> str:
        return f"{self.uri}/{artefact}/{name}"

    def names(self, below: str) -> list[str]:
        folder = self.folder / below
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob(".*.????????") if path.is_dir())

    def check(self) -> None:
        return

    def changed(self, name: str) -> int:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return (self.folder / name).stat().st_mtime_ns
        return 0

    def bytes_of(self, name: str) -> int:
        path = self.folder / name
        return sum(inner.stat().st_size for inner in (path, *path.rglob("*")) if inner.is_file())

    def remove(self, name: str) -> None:
        path = self.folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def work(self, inputs: str) -> Path:
        return self.folder / CHECKPOINTS / inputs

    def put_folder(self, folder: Path, name: str) -> None:
        return

    def side_folder(self, name: str) -> Path:
        return self.folder / name

    def release(self) -> None:
        return


def as_bytes(stamp: dict[str, Any]) -> bytes:
    """A stamp's file."""
    return json.dumps(stamp, indent=1, sort_keys=True).encode()
