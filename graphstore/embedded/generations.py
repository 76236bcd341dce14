"""The folder of an embedded store: immutable generations, and the pointer that names the one to read.

    current.json          which generation readers open: the one commit point, switched by os.replace
    graph.<n>.lbug        a generation: each data set with its newest runs; never changed after it is in place
    tables/<name>/*.parquet  the checked rows of each kept run and of each addition, from which any generation can be
                          built again

A generation is built beside the others, flushed to disk and moved to its place; at last the pointer is switched. So a
process killed at any moment leaves the old generation readable, and what it leaves behind is swept by the next one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from csrms_dist.artefacts.files import disk_errors, write_whole
from csrms_dist.artefacts.fingerprints import canonical_json
from csrms_dist.basics.progress import Progress
from csrms_dist.errors import StoreError
from graphstore.backend import check_version, nothing_published
from graphstore.embedded.builder import build
from graphstore.embedded.engine import REBUILD, engine
from graphstore.embedded.merge import merged
from graphstore.rows import Rows, StoredRows, Tables, WithColumns, write_rows
from graphstore.schema import Schema
from graphstore.store import dataset_of

WRITERS = 2  # threads that write tables
POINTER = "current.json"


@dataclass(frozen=True)
class Stored:
    """What was stored at once: its key, the folder of its tables, the digest of what was given, their schema."""

    key: str
    tables: str
    content: str
    schema_version: int


@dataclass(frozen=True)
class StoredAddition(Stored):
    """An addition to a run. holds: the names of its tables."""

    holds: tuple[str, ...]


@dataclass(frozen=True)
class StoredRun(Stored):
    """A kept run. additions: the newest last."""

    additions: tuple[StoredAddition, ...] = ()

    def find(self, key: str) -> StoredAddition | None:
        return next((addition for addition in self.additions if addition.key == key), None)

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders of its tables and of its additions'."""
        return (self.tables, *(addition.tables for addition in self.additions))


@dataclass(frozen=True)
class Generation:
    """The facts of the pointer file. live: the live run of each data set; runs: the newest last."""

    number: int
    engine: str
    schema_version: int
    live: Mapping[str, str]
    runs: tuple[StoredRun, ...]

    @property
    def file(self) -> str:
        return f"graph.{self.number}.lbug"

    def is_readable(self, schema: Schema) -> bool:
        """Whether the engine and the schema that are installed made it; else it is built again from the tables."""
        return self.engine == engine().__version__ and self.schema_version == schema.version

    def find(self, key: str) -> StoredRun | None:
        return next((run for run in self.runs if run.key == key), None)

    def of_dataset(self, dataset: str) -> tuple[StoredRun, ...]:
        return tuple(run for run in self.runs if dataset_of(run.key) == dataset)


class Generations:
    """Reads and writes the folder. schema: the node and edge types of its tables."""

    def __init__(self, folder: Path, schema: Schema) -> None:
        self.folder = folder
        self.schema = schema

    def current(self) -> Generation | None:
        """The generation that the pointer names. Raises StoreError when it is damaged or of a newer version."""
        try:
            facts = json.loads((self.folder / POINTER).read_text())
            check_version(str(self.folder), facts["schema_version"], self.schema.version)
            runs = tuple(_stored_run(run, facts["schema_version"]) for run in facts.pop("runs"))
            return Generation(runs=runs, **facts)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{self.folder / POINTER} is damaged", got=str(error), remedy=REBUILD) from error

    def published(self) -> Generation:
        """The current generation. Raises StoreError when there is none."""
        current = self.current()
        if current is None:
            raise nothing_published(str(self.folder))
        return current

    def readable(self) -> Generation:
        """The current generation, built again if another engine or schema made it."""
        current = self.published()
        if current.is_readable(self.schema):
            return current
        with self.writing():
            return self.write_next(current, current.runs, current.live)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Make the folder and keep a second publisher out of it; a full disk is a RunDirectoryError."""
        with disk_errors(str(self.folder)):
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / ".lock").open("w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise StoreError(
                        str(self.folder),
                        got="a graph that another process is publishing",
                        remedy="try again when it is done",
                    ) from error
                yield

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder beside the generations, removed at the end or, where the process was killed, by the next sweep."""
        folder = Path(tempfile.mkdtemp(prefix=".build.", dir=self.folder))
        try:
            yield folder
        finally:
            _remove(folder)

    def sweep(self, current: Generation | None) -> None:
        """Remove what killed publications left, and what the pointer has not named for two generations."""
        for pattern in (".build.*", f".{POINTER}.*"):
            for leftover in self.folder.glob(pattern):
                _remove(leftover)
        if current is None:
            return
        recent = {f"graph.{number}.lbug" for number in (current.number, current.number - 1)}
        kept = {folder for run in current.runs for folder in run.folders}
        for path in self.folder.glob("graph.*"):
            if path.name not in recent:
                _remove(path)
        for path in (self.folder / "tables").glob("*"):
            if path.name not in kept:
                _remove(path)

    def write_tables(self, run: Stored, tables: Tables) -> None:
        """Write the rows of a run or an addition, all of them or none."""
        with self.staging() as staging:
            with ThreadPoolExecutor(WRITERS) as pool:
                list(pool.map(_write_table, tables.values(), [staging / f"{name}.parquet" for name in tables]))
            staging.chmod(0o755)
            target = self.folder / "tables" / run.tables
            target.parent.mkdir(exist_ok=True)
            _remove(target)
            staging.rename(target)
            _flush(target)
            _flush(target.parent)

    def write_next(
        self,
        current: Generation | None,
        runs: Sequence[StoredRun],
        live: Mapping[str, str],
        progress: Progress | None = None,
    ) -> Generation:
        """Build the generation after `current` from the tables of its runs, and switch to it.

        runs: the newest last; their tables are written. live: the live run of each data set.
        """
        number = current.number + 1 if current else 1
        generation = Generation(number, engine().__version__, self.schema.version, dict(live), tuple(runs))
        with self.staging() as staging:
            built = build(staging, self.schema, self.files(generation, staging), progress)
            built.chmod(0o444)
            _flush(built)
            built.replace(self.folder / generation.file)
        _flush(self.folder)
        write_whole(self.folder / POINTER, (canonical_json(dataclasses.asdict(generation)) + "\n").encode())
        _flush(self.folder)
        self.sweep(generation)
        return generation

    def files(self, generation: Generation, staging: Path) -> dict[str, list[Path]]:
        """The Parquet files of all rows of a generation, by table; those that must be made lie in `staging`."""
        files: dict[str, list[Path]] = {kind.table: [] for kind in self.schema.types}
        for place, (dataset, live_run) in enumerate(generation.live.items()):
            made = staging / str(place)
            made.mkdir()
            newest_first = generation.of_dataset(dataset)[::-1]
            newest_first = generation.of_dataset(dataset)[::-1]
            runs = [self._tables_of(run, self._of_runs, made) for run in newest_first]
            additions = [self._tables_of(one, one.holds, made) for run in newest_first for one in run.additions]
            for table, of_table in merged(runs, additions, self.schema, live_run, made).items():
                files[table] += of_table
        return files

    @property
    def _of_runs(self) -> list[str]:
        """The tables that every run has."""
        return [kind.table for kind in self.schema.types if not self.schema.of_addition(kind)]

    def _tables_of(self, stored: Stored, names: Collection[str], made: Path) -> dict[str, Path]:
        """The Parquet files of the tables of these names; those of an older schema are made anew, in `made`.

        Raises StoreError where one is lost or damaged.
        """
        files = {}
        try:
            for kind in self.schema.types:
                if kind.table not in names:
                    continue
                file, columns = self.folder / "tables" / stored.tables / f"{kind.table}.parquet", kind.arrow()
                found = pq.read_schema(file)
                if stored.schema_version < self.schema.version and set(found) < set(columns):
                    files[kind.table] = made / f"{stored.tables}.{kind.table}.parquet"
                    write_rows(WithColumns(StoredRows([file]), columns), files[kind.table])
                elif found.equals(columns):
                    files[kind.table] = file
                else:
                    raise pa.ArrowInvalid(f"{kind.table} has the columns {', '.join(found.names)}")
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            what = "addition" if isinstance(stored, StoredAddition) else "run"
            raise StoreError(f"tables of {what} {stored.key}", got=str(error), remedy=REBUILD) from error
        return files


def _stored_run(facts: dict[str, Any], version: int) -> StoredRun:
    """A run of the pointer file. version: of its schema, where the file is too old to say it of each run."""
    additions = [one | {"holds": tuple(one["holds"])} for one in facts.pop("additions", ())]
    return StoredRun(**{"schema_version": version} | facts, additions=tuple(StoredAddition(**one) for one in additions))


def _write_table(rows: Rows, path: Path) -> None:
    write_rows(rows, path)
    _flush(path)


def _flush(path: Path) -> None:
    """Make a file's bytes, or a folder's names, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
