"""The embedded store: a graph database in local files, without a server.

A publication checks its rows in Arrow, writes them as Parquet and makes the next of the store's immutable generations
(`generations`), which a child process builds (`builder`): one autocommit COPY a table, CHECKPOINT, close, reopen
read-only, count. The engine demands this: a COPY killed inside a transaction tears the file, a duplicate key may crash
the process, a writer beside readers makes them stale. Going back to an earlier run and retiring one also write a new
generation. One of another engine version is built again from the tables when it is first opened.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from csrms_dist.basics.progress import Progress
from csrms_dist.errors import ConfigError, StoreError
from csrms_dist.hierarchy.settings import KEEP_RUNS
from graphstore.additions import addition_tables, check_against
from graphstore.backend import (
    Backend,
    ready_run,
    refuse_older,
    refuse_other_content,
    refuse_other_rows,
    refuse_retiring_live,
    unknown_run,
)
from graphstore.bundle import write_bundle
from graphstore.cypher import parameters
from graphstore.embedded.engine import ENGINE_ERRORS, OUT_OF_MEMORY, answer, buffer_pool, meaning, open_database
from graphstore.embedded.generations import Generation, Generations, StoredAddition, StoredRun
from graphstore.queries import NamedQuery
from graphstore.read_back import Columns, read_runs
from graphstore.rows import StoredRows
from graphstore.schema import SCHEMA, Schema
from graphstore.store import Addition, Publication, RunInfo, dataset_of, folder_name
from graphstore.tables import publication_tables


class EmbeddedStore(Backend):
    """A GraphStore in a local folder, without a server.

    folder: made at the first publication. schema: the node and edge types, for a method that adds its own. keep_runs:
    how many runs of a data set a publication leaves, itself included, the newest; older ones go, with their additions.
    Several processes may read while one publishes; a second publisher is refused. The object may be pickled.
    """

    def __init__(self, folder: str | Path, schema: Schema = SCHEMA, keep_runs: int = KEEP_RUNS) -> None:
        if keep_runs < 1:
            raise ConfigError("keep_runs", got=str(keep_runs), expected="1 or more")
        self.folder = Path(folder).absolute()
        self.schema = schema
        self.keep_runs = keep_runs
        self._generations = Generations(self.folder, schema)
        self._lock = threading.RLock()
        self._database: Any = None
        self._opened: Generation | None = None

    def __repr__(self) -> str:
        return f"EmbeddedStore({str(self.folder)!r})"

    @property
    def location(self) -> str:
        """The folder of the generations."""
        return str(self.folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.folder, self.schema, self.keep_runs)

    def close(self) -> None:
        """Release the open generation; the next query opens the newest."""
        with self._lock:
            if self._database is not None:
                self._database.close()
            self._database = self._opened = None

    # -- writing ---------------------------------------------------------------------------------------------------

    def publish(self, publication: Publication, progress: Progress | None = None) -> str:
        """Store a run whole and make it live; see GraphStore.publish."""
        tables, key = publication_tables(publication, self.schema), publication.run_key
        content = tables["Run"].table()["content"][0].as_py()
        with self._generations.writing():
            current = self._generations.current()
            self._generations.sweep(current)
            run = current.find(key) if current else None
            if current and run and run.schema_version >= self.schema.version:
                refuse_other_content(key, run.content, content)
                if self._confirm(current, key, publication.hierarchy.n_rows):
                    return key
            else:
                # beside the tables of an older schema, which are needed until the pointer is switched
                name = f"{folder_name(key)}-{self.schema.version}" if run else folder_name(key)
                run = StoredRun(key, name, content, self.schema.version)
                self._generations.write_tables(run, tables)
            others = tuple(other for other in (current.runs if current else ()) if other.key != key)
            same = [other for other in others if dataset_of(other.key) == publication.dataset_key]
            dropped = same[: max(0, len(same) - self.keep_runs + 1)]
            runs = (*(other for other in others if other not in dropped), run)
            live = {**(current.live if current else {}), publication.dataset_key: key}
            self._generations.write_next(current, runs, live, progress)
        return key

    def add(self, addition: Addition, progress: Progress | None = None) -> str:
        """Store an addition whole, in a new generation; see GraphStore.add."""
        tables, key = addition_tables(addition, self.schema), addition.key
        content = tables["Addition"].table()["content"][0].as_py()
        run = ready_run(self.runs(), addition.run)
        refuse_older(run.key, run.schema_version, self.schema.version)
        with self._generations.writing():
            current = self._stored(run.key)
            self._generations.sweep(current)
            old = next(other for other in current.runs if other.key == run.key)
            stored = old.find(key)
            if stored:
                refuse_other_rows(key, stored.content, content)
                return key
            check_against(tables, self.schema, run, self._read)
            added = StoredAddition(key, folder_name(key), content, self.schema.version, tuple(tables))
            self._generations.write_tables(added, tables)
            new = replace(old, additions=(*old.additions, added))
            runs = tuple(new if other is old else other for other in current.runs)
            self._generations.write_next(current, runs, current.live, progress)
        return key

    def go_live(self, run: str) -> None:
        """Make a stored run the live one, in a new generation; see GraphStore.go_live."""
        with self._generations.writing():
            current = self._stored(run)
            if current.live[dataset_of(run)] != run:
                self._generations.write_next(current, current.runs, {**current.live, dataset_of(run): run})

    def retire(self, run: str) -> None:
        """Leave a run out of a new generation; see GraphStore.retire."""
        with self._generations.writing():
            current = self._stored(run)
            refuse_retiring_live(run, current.live[dataset_of(run)])
            left = tuple(other for other in current.runs if other.key != run)
            self._generations.write_next(current, left, current.live)

    def write_bundle(self, folder: str | Path, progress: Progress | None = None) -> int:
        """Write all that is stored as the input of neo4j-admin's import; how many rows. See graphstore.bundle."""
        with self._generations.writing():
            current = self._generations.published()
            with self._generations.staging() as staging:
                files = self._generations.files(current, staging)
                rows = {table: StoredRows(of_table) for table, of_table in files.items()}
                return write_bundle(rows, self.schema, folder, progress)

    def _stored(self, run: str) -> Generation:
        """The current generation, which holds the run."""
        current = self._generations.current()
        if current is None or current.find(run) is None:
            raise unknown_run(run, [other.key for other in current.runs] if current else [])
        return current

    def _confirm(self, current: Generation, run: str, n_rows: int) -> bool:
        """Whether the current generation can be read, and the run is live in it with all its instances."""
        try:
            return current.is_readable(self.schema) and any(
                (info.key, info.live, info.status, info.n_instances) == (run, True, "ready", n_rows)
                and info.schema_version == self.schema.version
                for info in self.runs()
            )
        except StoreError:
            return False

    # -- reading ---------------------------------------------------------------------------------------------------

    def _open(self) -> Any:
        """The newest generation's read-only database, kept open until a newer one is there."""
        current = self._generations.readable()
        if self._database is not None and self._opened == current:
            return self._database
        self.close()
        for attempt in range(3):
            path = self.folder / current.file
            if path.exists():
                break
            if attempt == 2:
                raise StoreError(f"{path} is missing", remedy="publish the run again")
            current = self._generations.readable()  # two publications went by since the pointer was read
        try:
            self._database = open_database(path, buffer_pool(path.stat().st_size), read_only=True)
        except ENGINE_ERRORS as error:
            raise meaning(error) from error
        self._opened = current
        return self._database

    def _ask(self, text: str, params: Mapping[str, Any], timeout_s: float) -> pa.Table:
        with self._lock:
            database = self._open()
            try:
                return answer(database, text, params, timeout_s)
            except ENGINE_ERRORS as error:
                if OUT_OF_MEMORY in str(error):
                    self.close()  # after it the engine may refuse even small questions
                raise meaning(error) from error

    def _answer(
        self, text: str, params: Mapping[str, Any], named: NamedQuery | None, limit: int, timeout_s: float
    ) -> pa.Table:
        return self._ask(text, params, timeout_s)

    def _read(self, query: str | Columns, params: Mapping[str, Any]) -> pa.Table:
        text = query.by_rows if isinstance(query, Columns) else query
        return self._ask(text, {name: params[name] for name in parameters(text)}, 0)

    def _live_runs(self) -> Mapping[str, str]:
        current = self._generations.current()
        return current.live if current else {}

    def _schema_version(self, run: str) -> int | None:
        current = self._generations.current()
        stored = current.find(run) if current else None
        return stored.schema_version if stored else None

    def runs(self) -> list[RunInfo]:
        """The stored runs, oldest publication first."""
        with self._lock:
            if self._generations.current() is None:
                return []
            order = [run.key for run in self._generations.readable().runs]
            return sorted(read_runs(self._read), key=lambda info: order.index(info.key))
