"""Artefacts written whole or not at all, stamped with the fingerprint of their inputs.

An artefact is a folder with a `stamp.json`. It is staged beside its final place and moved there as the last act, the
stamp being the last file written; so whoever finds a stamp finds the whole artefact. A run directory is addressed by a
URI through pyarrow.fs; a local folder is the plain case, and memory-mapped readers get a local copy of any other.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from csrms_dist.artefacts.files import disk_errors, full_disk, readable, write_whole
from csrms_dist.artefacts.names import MADE_BY
from csrms_dist.errors import RunDirectoryError

STAMP = "stamp.json"
DISCARDED = "discarded"


class RunDirectory:
    """One run's artefacts, by name.

    Nothing is made until something is written, or the folder is locked to be written to.

    Assumptions: one process writes at a time (`lock` enforces it on a local folder); a stamped artefact never changes
    in place, it is only replaced by another whole one.

    Parameters
    ----------
    uri: a local folder, or a URI that pyarrow.fs knows.
    filesystem: a pyarrow file system on which `uri` is a path; by default the one that the URI names.
    """

    def __init__(self, uri: str | Path, *, filesystem: pafs.FileSystem | None = None) -> None:
        self.uri = str(uri)
        if filesystem is not None:
            self._fs, root = filesystem, self.uri
        elif "://" in self.uri:
            try:
                self._fs, root = pafs.FileSystem.from_uri(self.uri)
            except pa.ArrowInvalid as error:
                raise RunDirectoryError(
                    self.uri, got=f"'{error}'", expected="a local folder or a URI such as s3://bucket/runs"
                ) from error
        else:
            self._fs, root = pafs.LocalFileSystem(), str(Path(self.uri).absolute())
        self.is_local = isinstance(self._fs, pafs.LocalFileSystem)
        self.root = root.rstrip("/")
        self._cache: dict[tuple[str, str], Path] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": {}}

    def __repr__(self) -> str:
        return f"RunDirectory({self.uri!r})"

    @property
    def filesystem(self) -> pafs.FileSystem:
        """Where `root` is a path."""
        return self._fs

    @property
    def path(self) -> Path:
        """The local folder; an error when the run directory is elsewhere."""
        if not self.is_local:
            raise RunDirectoryError(self.uri, got="a remote run directory", expected="a local folder for this command")
        return Path(self.root)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second command from writing to the same local run."""
        if not self.is_local:
            yield
            return
        self._make()
        with disk_errors(self.uri):
            file = (self.path / ".lock").open("w")
        with file, full_disk(self.uri):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunDirectoryError(
                    self.uri, got="a run that another command is writing", remedy="wait for it or choose another --out"
                ) from error
            yield

    def stamp(self, artefact: str) -> dict[str, Any] | None:
        """The stamp of an artefact, or None when there is no whole one; one that was discarded was whole."""
        stamp: dict[str, Any] | None = None
        with contextlib.suppress(NotADirectoryError, ValueError):
            stamp = self.read_json(f"{artefact}/{STAMP}")
        if stamp is None:
            return None
        if stamp.get(DISCARDED):
            return stamp
        infos = self._fs.get_file_info([f"{self.root}/{artefact}/{name}" for name in stamp["files"]])
        whole = all(info.size == size for info, size in zip(infos, stamp["files"].values(), strict=True))
        return stamp if whole else None

    def discard(self, artefact: str) -> None:
        """Remove the files of a whole artefact of a local run; its stamp, and so its facts, stay."""
        stamp = self._whole(artefact)
        place = self.path / artefact
        write_whole(place / STAMP, json.dumps(stamp | {DISCARDED: True}, indent=1, sort_keys=True).encode())
        for name in stamp["files"]:
            (place / name).unlink(missing_ok=True)

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
        self._make()
        with disk_errors(self.uri):
            if self.is_local:
                self._sweep(artefact)
                staging = Path(tempfile.mkdtemp(prefix=f".{artefact}.", dir=self.root))
            else:
                staging = Path(tempfile.mkdtemp(prefix=f"csrms-{artefact}-"))
        try:
            with full_disk(self.uri):
                yield staging
            with disk_errors(self.uri):
                self._publish(staging, artefact, inputs, dict(facts or {}))
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _make(self) -> None:
        with disk_errors(self.uri):
            self._fs.create_dir(self.root, recursive=True)

    def _sweep(self, artefact: str) -> None:
        """Remove what a killed attempt left behind."""
        for leftover in self.path.glob(f".{artefact}.????????"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _publish(self, staging: Path, artefact: str, inputs: str, facts: dict[str, Any]) -> None:
        files = {str(p.relative_to(staging)): p.stat().st_size for p in sorted(staging.rglob("*")) if p.is_file()}
        stamp = {"artefact": artefact, "fingerprint": inputs, "files": files, "facts": facts}
        for name in files:
            readable(staging / name)
            with (staging / name).open("rb") as file:
                os.fsync(file.fileno())
        write_whole(staging / STAMP, json.dumps(stamp, indent=1, sort_keys=True).encode())
        target = f"{self.root}/{artefact}"
        if self.is_local:
            staging.chmod(0o755)
            if Path(target).exists():
                retired = Path(tempfile.mkdtemp(prefix=f".{artefact}.", dir=self.root))
                Path(target).rename(retired / "old")
                staging.rename(target)
                shutil.rmtree(retired, ignore_errors=True)
            else:
                staging.rename(target)
            return
        self._fs.create_dir(target, recursive=True)
        self._fs.delete_dir_contents(target)
        for name in [*files, STAMP]:
            self._fs.create_dir(str(Path(f"{target}/{name}").parent), recursive=True)
            pafs.copy_files(str(staging / name), f"{target}/{name}", destination_filesystem=self._fs)

    def open(self, artefact: str) -> Path:
        """The local folder of a whole artefact (a cached copy of a remote one)."""
        stamp = self._whole(artefact)
        if stamp.get(DISCARDED):
            raise RunDirectoryError(
                f"{self.uri}/{artefact}", got="an artefact that was cleaned away",
                remedy=f"run `csrms {artefact} CONFIG`, which makes it again",
            )  # fmt: skip
        if self.is_local:
            return self.path / artefact
        key = (artefact, stamp["fingerprint"])
        if key not in self._cache:
            copy = Path(tempfile.mkdtemp(prefix=f"csrms-{artefact}-"))
            atexit.register(shutil.rmtree, copy, ignore_errors=True)
            pafs.copy_files(f"{self.root}/{artefact}", str(copy), source_filesystem=self._fs)
            self._cache[key] = copy
        return self._cache[key]

    def facts(self, artefact: str) -> dict[str, Any]:
        """Counts, timings and the like, as the stage that made the artefact noted them."""
        return dict(self._whole(artefact)["facts"])

    def _whole(self, artefact: str) -> dict[str, Any]:
        stamp = self.stamp(artefact)
        if stamp is not None:
            return stamp
        stage = MADE_BY.get(artefact, artefact)
        command = f"`csrms {stage} CONFIG`"
        if stage != artefact:  # a stage that is done would not make it again
            remedy = f"delete {self.uri}/{stage}, if it is there, and run {command}, which makes both"
        else:
            remedy = f"run {command} or `csrms run CONFIG` first"
        if self._fs.get_file_info(f"{self.root}/{artefact}").type == pafs.FileType.NotFound:
            raise RunDirectoryError(f"{self.uri} has no artefact '{artefact}'", remedy=remedy)
        raise RunDirectoryError(f"{self.uri}/{artefact}", got="an artefact that is not whole", remedy=remedy)

    def write_json(self, name: str, value: Any) -> None:
        """Write a small JSON file at the top of the run, whole or not at all, keys sorted."""
        self._make()
        data = (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
        with disk_errors(self.uri):
            if self.is_local:
                write_whole(self.path / name, data)
            else:
                with self._fs.open_output_stream(f"{self.root}/{name}") as file:
                    file.write(data)

    def read_json(self, name: str) -> Any:
        """Read a JSON file at the top of the run; None when it is not there."""
        try:
            with self._fs.open_input_stream(f"{self.root}/{name}") as file:
                return json.loads(file.read())
        except FileNotFoundError:
            return None
