"""The embedded store of a run that is not in a local folder: built on this node, uploaded whole, read from its cache.

The folder of the store is an artefact of the run, `store`. A publication goes on from a copy of it, and what comes out
replaces the artefact as any other is replaced: whole, or not at all.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from csrms_dist.artefacts.fingerprints import file_fingerprint
from csrms_dist.artefacts.names import STAMP, STORE
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.progress import Progress
from csrms_dist.hierarchy.settings import KEEP_RUNS
from graphstore.embedded.generations import POINTER, Generations
from graphstore.embedded.store import EmbeddedStore
from graphstore.schema import SCHEMA, Schema
from graphstore.store import Addition, Publication


class UploadedStore(EmbeddedStore):
    """A GraphStore in a run directory that is not local. It answers from what was there when it was opened, and from
    what it has written since. One command writes at a time, as everywhere in a run; the object may be pickled.
    """

    def __init__(self, run: RunDirectory, schema: Schema = SCHEMA, keep_runs: int = KEEP_RUNS) -> None:
        self._run = run
        super().__init__(run.side_folder(f"no-{STORE}"), schema, keep_runs)
        self._look()

    def __repr__(self) -> str:
        return f"UploadedStore({self._run.uri!r})"

    @property
    def location(self) -> str:
        """The run that it is a part of."""
        return f"{self._run.uri}, artefact {STORE}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._run, self.schema, self.keep_runs)

    def publish(self, publication: Publication, progress: Progress | None = None) -> str:
        """Store a run whole and make it live; see GraphStore.publish."""
        with self._changing():
            return super().publish(publication, progress)

    def add(self, addition: Addition, progress: Progress | None = None) -> str:
        """Store an addition whole; see GraphStore.add."""
        with self._changing():
            return super().add(addition, progress)

    def go_live(self, run: str) -> None:
        """Make a stored run the live one; see GraphStore.go_live."""
        with self._changing():
            super().go_live(run)

    def retire(self, run: str) -> None:
        """Leave a run out from now on; see GraphStore.retire."""
        with self._changing():
            super().retire(run)

    def _look(self) -> None:
        """Read from the artefact, or from nothing where there is none."""
        self.close()
        stamp = self._run.stamp(STORE)
        if stamp is None:
            return
        tables = tuple(name for name in stamp["files"] if name.startswith("tables/"))
        self._read_from(self._run.open(STORE, by_range=tables))  # of which questions read none
        if not self._generations.published().is_readable(self.schema):
            self._run.open(STORE)  # it is built again, of them

    def _read_from(self, folder: Path) -> None:
        self.folder = folder
        self._generations = Generations(folder, self.schema)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Change a copy of what is there, and upload it if it did change."""
        scratch = self._run.side_folder(STORE)
        scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="change-", dir=scratch))
        before = self._generations.current()
        try:
            if before is not None:  # a true copy: a second name would share the holes of the first
                whole, besides = self._run.open(STORE), shutil.ignore_patterns(STAMP, ".*")
                shutil.copytree(whole, folder, dirs_exist_ok=True, ignore=besides)
            self.close()
            self._read_from(folder)
            yield
            self.close()
            if self._generations.current() != before:
                self._upload(folder)
        finally:
            self.close()
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                scratch.rmdir()
            self._look()

    def _upload(self, folder: Path) -> None:
        """Replace the artefact by what the pointer names: older generations are of use to open readers alone."""
        current = self._generations.published()
        with self._run.writing(STORE, file_fingerprint(folder / POINTER)) as staging:
            _link(str(folder / POINTER), str(staging / POINTER))
            _link(str(folder / current.file), str(staging / current.file))
            for tables in {name for run in current.runs for name in run.folders}:
                shutil.copytree(folder / "tables" / tables, staging / "tables" / tables, copy_function=_link)


def _link(source: str, target: str) -> None:
    """A second name: what lies in a store is never changed in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
