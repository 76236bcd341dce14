"""Artefacts written whole or not at all, stamped with the fingerprint of their inputs.

An artefact is a set of files with a `stamp.json`, which is the last of them to be written; so whoever finds a stamp
finds the whole artefact. A run directory is a local folder, or one that nodes share (`local_run`), or a URI that
pyarrow.fs knows (`remote_run`): then artefacts are read through a cache of the node, and nobody else notices.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import pyarrow.fs as pafs

from csrms_dist.artefacts.file_systems import file_system, is_uri, joined
from csrms_dist.artefacts.files import disk_errors, full_disk
from csrms_dist.artefacts.local_run import LocalRun
from csrms_dist.artefacts.names import MADE_BY, STAMP
from csrms_dist.artefacts.objects import Objects
from csrms_dist.artefacts.ranged_file import RangedFile
from csrms_dist.artefacts.remote_run import UPLOAD, RemoteRun
from csrms_dist.errors import RunDirectoryError

DISCARDED = "discarded"


class Place(Protocol):
    """Where a run directory lies. Names are relative to it, with '/'. Raises RunDirectoryError for what fails."""

    def read(self, name: str) -> bytes | None:
        """A small file; None where there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Write a small file, whole or not at all."""

    def exists(self, name: str) -> bool: ...

    def names(self, below: str) -> list[str]:
        """What lies directly in a folder, sorted."""

    def leftovers(self) -> list[str]:
        """What attempts left that were killed, by name."""

    def check(self) -> None:
        """Raise RunDirectoryError where the place cannot be read at all."""

    def changed(self, name: str) -> int:
        """When a file was written last, in ns; 0 where there is none."""

    def bytes_of(self, name: str) -> int:
        """Of a file, or of all files in a folder."""

    def remove(self, name: str) -> None:
        """Remove a file or a folder."""

    def lock(self) -> AbstractContextManager[None]: ...

    def staging(self, artefact: str) -> AbstractContextManager[Path]:
        """A local folder for the files of an artefact, gone at the end."""

    def publish(self, staging: Path, artefact: str, stamp: dict[str, Any]) -> None:
        """Make a staged folder the artefact, its stamp last."""

    def discard(self, artefact: str, stamp: dict[str, Any]) -> None:
        """Replace the stamp of an artefact and remove its files."""

    def sizes(self, artefact: str, stamp: dict[str, Any]) -> dict[str, int]:
        """The sizes of the files that are there."""

    def open(self, artefact: str, stamp: dict[str, Any], by_range: tuple[str, ...]) -> Path:
        """A local folder with the files of an artefact; large ones of `by_range` may have holes."""

    def ranged(self, artefact: str, stamp: dict[str, Any], name: str) -> RangedFile | None:
        """How a file is read that may have holes; None for one that has none."""

    def uri_of(self, artefact: str, stamp: dict[str, Any] | None, name: str) -> str: ...

    def work(self, inputs: str) -> Path: ...

    def side_folder(self, name: str) -> Path:
        """A local folder for files beside the artefacts, such as curves."""

    def put_folder(self, folder: Path, name: str) -> None:
        """Have the files of a side folder in the run."""

    def release(self) -> None:
        """Let copies go where room is needed."""


class RunDirectory:
    """One run's artefacts, by name.

    Nothing is made until something is written, or the run is locked to be written to.

    Assumptions: one process writes at a time (`lock` enforces it); a stamped artefact never changes in place, it is
    only replaced by another whole one.

    Parameters
    ----------
    uri: a local folder, or a URI that pyarrow.fs knows, without a secret in it.
    filesystem: a pyarrow file system on which `uri` is a path; by default the one that the URI names.
    """

    def __init__(self, uri: str | Path, *, filesystem: pafs.FileSystem | None = None) -> None:
        self.uri = str(uri)
        self._given, bucket = filesystem, None
        if filesystem is not None:
            system, root = filesystem, self.uri
        elif is_uri(uri):
            system, root, bucket = file_system(self.uri)
        else:
            system, root = pafs.LocalFileSystem(), str(Path(self.uri).absolute())
        self.is_local = isinstance(system, pafs.LocalFileSystem)
        self.root = root.rstrip("/")
        self._place: Place
        if self.is_local:
            self._place = LocalRun(Path(self.root), self.uri)
        else:
            self._place = RemoteRun(Objects(system, self.root, self.uri, bucket), self.uri, self._named)

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (self.uri, self._given)

    def __repr__(self) -> str:
        return f"RunDirectory({self.uri!r})"

    @property
    def path(self) -> Path:
        """The local folder; an error when the run directory is elsewhere."""
        if not self.is_local:
            raise RunDirectoryError(self.uri, got="a remote run directory", expected="a local folder for this command")
        return Path(self.root)

    @property
    def address(self) -> str:
        """By what another process, in whatever folder, opens the same run: an absolute path or the URI."""
        return self.root if self.is_local else self.uri

    def lock(self) -> AbstractContextManager[None]:
        """Keep a second command from writing to the same run: a local lock, or a lease (see `lease`)."""
        return self._place.lock()

    def stamp(self, artefact: str) -> dict[str, Any] | None:
        """The stamp of an artefact, or None when there is no whole one; one that was discarded was whole."""
        found = self._stamp(artefact)
        return found and {key: value for key, value in found.items() if key != UPLOAD}

    def _stamp(self, artefact: str) -> dict[str, Any] | None:
        stamp: dict[str, Any] | None = None
        with contextlib.suppress(ValueError):
            stamp = self.read_json(f"{artefact}/{STAMP}")
        if stamp is None or stamp.get(DISCARDED):
            return stamp
        found = self._place.sizes(artefact, stamp)
        return stamp if all(found.get(name) == size for name, size in stamp["files"].items()) else None

    def discard(self, artefact: str) -> None:
        """Remove the files of a whole artefact; its stamp, and so its facts, stay."""
        self._place.discard(artefact, self._whole(artefact) | {DISCARDED: True})

    def is_discarded(self, artefact: str) -> bool:
        """Whether an artefact was made, and its files were discarded."""
        return bool((self.stamp(artefact) or {}).get(DISCARDED))

    def is_done(self, artefact: str, inputs: str) -> bool:
        """Whether a whole artefact made from these inputs is there."""
        stamp = self.stamp(artefact)
        return stamp is not None and stamp["fingerprint"] == inputs

    @contextlib.contextmanager
    def writing(self, artefact: str, inputs: str, facts: Mapping[str, Any] | None = None) -> Iterator[Path]:
        """Yield a local staging folder; on a clean exit it becomes the artefact, on an error nothing remains of it.

        `facts` (JSON) is kept in the stamp: counts, timings, encoder passes. A dict may be filled while writing.
        """
        with self._place.staging(artefact) as staging:
            with full_disk(self.uri):
                yield staging
            files = {str(p.relative_to(staging)): p.stat().st_size for p in sorted(staging.rglob("*")) if p.is_file()}
            stamp = {"artefact": artefact, "fingerprint": inputs, "files": files, "facts": dict(facts or {})}
            with disk_errors(self.uri):
                self._place.publish(staging, artefact, stamp)

    def open(self, artefact: str, *, by_range: tuple[str, ...] = ()) -> Path:
        """The local folder of a whole artefact, perhaps a copy; it stays until `release`.

        by_range: files of which only the bytes that `ranged` was asked for need be there.
        """
        return self._place.open(artefact, self._kept(artefact), by_range)

    def ranged(self, artefact: str, name: str) -> RangedFile | None:
        """How to read a file that was opened by range; None where all of it is there."""
        return self._place.ranged(artefact, self._kept(artefact), name)

    def release(self) -> None:
        """What was opened may be thrown out of the node's cache; what is mapped in memory stays readable."""
        self._place.release()

    def facts(self, artefact: str) -> dict[str, Any]:
        """Counts, timings and the like, as the stage that made the artefact noted them."""
        return dict(self._whole(artefact)["facts"])

    def uri_of(self, artefact: str, name: str) -> str:
        """Where a file of an artefact lies, for others' tools; it changes when the artefact is made again."""
        return self._place.uri_of(artefact, self._stamp(artefact), name)

    def write_json(self, name: str, value: Any) -> None:
        """Write a small JSON file at the top of the run, whole or not at all, keys sorted."""
        data = (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
        self._place.write(name, data)

    def read_json(self, name: str) -> Any:
        """Read a JSON file at the top of the run; None when it is not there."""
        found = self._place.read(name)
        return None if found is None else json.loads(found)

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a small file beside the artefacts, whole or not at all."""
        self._place.write(name, data)

    def read_bytes(self, name: str) -> bytes | None:
        """Read a small file beside the artefacts; None when it is not there."""
        return self._place.read(name)

    # -- beside the artefacts --------------------------------------------------------------------------------------

    def work(self, inputs: str) -> Path:
        """A local folder for the unfinished work of a stage with these inputs; see `work_folder` for what is shared."""
        return self._place.work(inputs)

    def side_folder(self, name: str) -> Path:
        """A local folder for files that no stamp names, such as curves; `put_folder` has them in the run."""
        return self._place.side_folder(name)

    def put_folder(self, name: str) -> None:
        """Have what the side folder of this name holds now in the run."""
        self._place.put_folder(self._place.side_folder(name), name)

    def exists(self, name: str) -> bool:
        """Whether there is a file or a folder of this name."""
        return self._place.exists(name)

    def names(self, below: str = "") -> list[str]:
        """What lies directly in a folder of the run, sorted."""
        return self._place.names(below)

    def leftovers(self) -> list[str]:
        """What attempts left that were killed, by name."""
        return self._place.leftovers()

    def check(self) -> None:
        """Raise RunDirectoryError where a store, or its bucket, cannot be read at all."""
        self._place.check()

    def changed(self, name: str) -> int:
        """When a file was written last, in ns since 1970; 0 where there is none."""
        return self._place.changed(name)

    def bytes_of(self, name: str) -> int:
        """The size of a file, or of all files in a folder."""
        return self._place.bytes_of(name)

    def remove(self, name: str) -> None:
        """Remove a file or a folder of the run."""
        self._place.remove(name)

    def _named(self, *names: str) -> str:
        return joined(self.uri, *names)

    def _kept(self, artefact: str) -> dict[str, Any]:
        stamp = self._whole(artefact)
        if stamp.get(DISCARDED):
            raise RunDirectoryError(
                self._named(artefact), got="an artefact that was cleaned away",
                remedy=f"run `csrms {artefact} CONFIG`, which makes it again",
            )  # fmt: skip
        return stamp

    def _whole(self, artefact: str) -> dict[str, Any]:
        stamp = self._stamp(artefact)
        if stamp is not None:
            return stamp
        stage = MADE_BY.get(artefact, artefact)
        command = f"`csrms {stage} CONFIG`"
        if stage != artefact:  # a stage that is done would not make it again
            remedy = f"delete {self._named(stage)}, if it is there, and run {command}, which makes both"
        else:
            remedy = f"run {command} or `csrms run CONFIG` first"
        if not self.exists(artefact):
            raise RunDirectoryError(f"{self.uri} has no artefact '{artefact}'", remedy=remedy)
        raise RunDirectoryError(self._named(artefact), got="an artefact that is not whole", remedy=remedy)


def _opened(uri: str, filesystem: pafs.FileSystem | None) -> RunDirectory:
    return RunDirectory(uri, filesystem=filesystem)
