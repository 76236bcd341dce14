"""A run directory in an object store, or wherever else pyarrow.fs reaches: read through this node's cache.

    <artefact>/<upload>/<files>   one upload, under a name that no other has
    <artefact>/stamp.json         written last: it names the upload that counts, and its files with their sizes
    .checkpoints/<inputs>/        unfinished trainings: see `work_folder`
    .lock                         the lease of the command that writes

Whoever finds a stamp finds all of its upload. An upload that was cut off is named by nothing, and what was there before
it is whole until the stamp is replaced; what no stamp names is swept by the next writer of the artefact.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from csrms_dist.artefacts.files import disk_errors
from csrms_dist.artefacts.fingerprints import fingerprint
from csrms_dist.artefacts.lease import Lease
from csrms_dist.artefacts.local_run import as_bytes
from csrms_dist.artefacts.names import CHECKPOINTS, STAMP
from csrms_dist.artefacts.node_cache import Entry, NodeCache
from csrms_dist.artefacts.objects import Objects
from csrms_dist.artefacts.ranged_file import RangedFile
from csrms_dist.artefacts.work_folder import mirrored
from csrms_dist.basics.progress import waiting_for
from csrms_dist.errors import RunDirectoryError

UPLOAD = "upload"
"""The stamp's key that names the upload."""
LONG = 64 << 20
"""An upload of so many bytes is said."""


class RemoteRun:
    """A `Place` (see run_directory.py). uri: as it is shown."""

    def __init__(self, objects: Objects, uri: str, uri_of: Callable[..., str]) -> None:
        self._objects, self.uri, self._uri_of = objects, uri, uri_of
        self._lease = Lease(objects)
        self._entries: dict[tuple[str, str], Entry] = {}
        self._before: dict[str, bytes | None] = {}

    def read(self, name: str) -> bytes | None:
        return self._objects.read(name)

    def write(self, name: str, data: bytes) -> None:
        with disk_errors(self.uri):
            self._objects.put(name, data)

    def sizes(self, artefact: str, stamp: dict[str, Any]) -> dict[str, int]:
        return self._objects.sizes(f"{artefact}/{stamp[UPLOAD]}")

    def exists(self, name: str) -> bool:
        return self._objects.exists(name)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        with disk_errors(self.uri):
            stack = contextlib.ExitStack()
            stack.enter_context(self._lease.held())
        with stack:
            yield

    @contextlib.contextmanager
    def staging(self, artefact: str) -> Iterator[Path]:
        self._before[artefact] = self._objects.read(f"{artefact}/{STAMP}")
        with NodeCache.of_this_node().staging(artefact) as folder:
            yield folder

    def publish(self, staging: Path, artefact: str, stamp: dict[str, Any]) -> None:
        files, upload = stamp["files"], secrets.token_hex(8)
        if sum(files.values()) >= LONG:
            waiting_for(f"{sum(files.values()) / 1e6:,.0f} MB go to {self.uri}")
        self._objects.put_files(staging, list(files), f"{artefact}/{upload}")
        if self._objects.sizes(f"{artefact}/{upload}") != files:
            raise RunDirectoryError(
                f"{self.uri}, artefact {artefact}", got="other files there than were put",
                expected="a store that keeps them",
                remedy="run the same command again",
            )  # fmt: skip
        self._put_stamp(artefact, stamp | {UPLOAD: upload}, self._before.pop(artefact, None))
        self._sweep(artefact, upload)
        (staging / STAMP).write_bytes(as_bytes(stamp))
        NodeCache.of_this_node().adopt(self._key(artefact, upload), staging, files)

    def discard(self, artefact: str, stamp: dict[str, Any]) -> None:
        self._put_stamp(artefact, stamp, self._objects.read(f"{artefact}/{STAMP}"))
        self._sweep(artefact, "")

    def open(self, artefact: str, stamp: dict[str, Any], by_range: tuple[str, ...]) -> Path:
        entry = self._entry(artefact, stamp)
        entry.have_whole([name for name in stamp["files"] if name not in by_range])
        return entry.folder

    def ranged(self, artefact: str, stamp: dict[str, Any], name: str) -> RangedFile | None:
        entry = self._entry(artefact, stamp)
        return entry.ranged(name) if name in stamp["files"] and entry.is_large(name) else None

    def uri_of(self, artefact: str, stamp: dict[str, Any] | None, name: str) -> str:
        inner = [artefact, stamp[UPLOAD]] if stamp else [artefact]
        return self._uri_of(*inner, name)

    def names(self, below: str) -> list[str]:
        return self._objects.names(below)

    def leftovers(self) -> list[str]:
        found = []
        for artefact in self.names(""):
            stamp = None if artefact.startswith(".") else self.read(f"{artefact}/{STAMP}")
            if stamp is None:
                continue
            with contextlib.suppress(ValueError):
                kept = (json.loads(stamp).get(UPLOAD), STAMP)
                found += [f"{artefact}/{name}" for name in self.names(artefact) if name not in kept]
        return found

    def check(self) -> None:
        self._objects.check()

    def changed(self, name: str) -> int:
        found = self._objects.changed(name)
        return found[1] if found else 0

    def bytes_of(self, name: str) -> int:
        return sum(self._objects.sizes(name).values())

    def remove(self, name: str) -> None:
        self._objects.remove(name)
        parent, _, inputs = name.rpartition("/")
        if parent == CHECKPOINTS:
            shutil.rmtree(self.work(inputs), ignore_errors=True)

    def work(self, inputs: str) -> Path:
        folder = NodeCache.of_this_node().work(fingerprint(self._identity, inputs))
        return mirrored(folder, self._objects, f"{CHECKPOINTS}/{inputs}")

    def put_folder(self, folder: Path, name: str) -> None:
        self._objects.remove(name)
        files = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
        self._objects.put_files(folder, files, name)

    def side_folder(self, name: str) -> Path:
        return NodeCache.of_this_node().work(fingerprint(self._identity, name))

    def release(self) -> None:
        for entry in self._entries.values():
            entry.close()
        self._entries.clear()

    @property
    def _identity(self) -> str:
        return f"{self.uri} {self._objects.root}"

    def _key(self, artefact: str, upload: str) -> str:
        return f"{artefact}-{fingerprint(self._identity, artefact, upload)}"

    def _entry(self, artefact: str, stamp: dict[str, Any]) -> Entry:
        upload = str(stamp[UPLOAD])
        if (artefact, upload) not in self._entries:
            shown = as_bytes({key: value for key, value in stamp.items() if key != UPLOAD})

            def opened(name: str) -> Callable[[int, int], bytes]:
                if name == STAMP:
                    return lambda start, stop: shown[start:stop]
                return self._objects.open(f"{artefact}/{upload}/{name}")

            sizes = {**stamp["files"], STAMP: len(shown)}
            self._entries[artefact, upload] = NodeCache.of_this_node().entry(self._key(artefact, upload), sizes, opened)
        return self._entries[artefact, upload]

    def _put_stamp(self, artefact: str, stamp: dict[str, Any], before: bytes | None) -> None:
        self._lease.check()
        with disk_errors(self.uri):
            if self._objects.put_if(f"{artefact}/{STAMP}", as_bytes(stamp), before):
                return
        raise RunDirectoryError(
            f"{self.uri}, artefact {artefact}", got="one that another command wrote meanwhile",
            remedy="run the same command again, which goes on from it",
        )  # fmt: skip

    def _sweep(self, artefact: str, kept: str) -> None:
        """Remove every upload but one."""
        for name in self._objects.names(artefact):
            if name not in (kept, STAMP):
                self._objects.remove(f"{artefact}/{name}")
