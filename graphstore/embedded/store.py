"""The embedded store: immutable generation files of the engine `ladybug`, the only file that imports it.

The folder holds

    current.json          which generation readers open: the one commit point, switched by os.replace
    graph.<n>.lbug        a generation: each data set with its newest runs; never changed after it is in place
    tables/<run>/*.parquet   the checked rows of each kept run, from which any generation can be built again

A publication checks its rows in Arrow, writes them as Parquet, and lets a child process build the next generation
beside the others: one autocommit COPY a table, CHECKPOINT, close, reopen read-only, count. The file is then flushed to
disk and moved to its place, and at last the pointer is switched. So a process killed at any moment leaves the old
generation readable, and what it leaves behind is swept by the next publication. The engine demands this: a COPY killed
inside a transaction tears the file, a duplicate key may crash the process, a writer beside readers makes them stale.

Going back to an earlier run and retiring one also write a new generation. A generation of another engine version is
built again from the tables when it is first opened.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from csrms_dist.artefacts.files import disk_errors, write_whole
from csrms_dist.artefacts.fingerprints import canonical_json
from csrms_dist.basics.progress import Progress
from csrms_dist.errors import CsrmsError, RunDirectoryError, StoreError, require
from csrms_dist.hierarchy.graph import HierarchyGraph
from graphstore.bundle import StoredRows, write_bundle
from graphstore.cypher import parameters, reading
from graphstore.queries import NamedQuery
from graphstore.read_back import Columns, read_hierarchy, read_instance, read_runs
from graphstore.schema import SCHEMA, SCHEMA_VERSION, Schema
from graphstore.store import (
    ROW_LIMIT,
    TIMEOUT_S,
    Publication,
    RunInfo,
    check_limits,
    check_version,
    dataset_of,
    folder_name,
    plain_parameter,
    ready_run,
    refuse_retiring_live,
    the_live_run,
    unknown_run,
    with_limit,
)
from graphstore.tables import Rows, Tables, count_rows, merged, publication_tables, write_rows

KEPT_RUNS = 3
WRITERS = 2  # threads that write tables
BYTES_A_ROW = 42  # of a generation file
POINTER = "current.json"
_DATABASE, _JOB, _ERROR, _ERRORS = "graph.lbug", "job.json", "error.json", "stderr.txt"
# The engine reports a short write with whatever errno is about.
_DISK_FULL = ("No space left", "File too large", "Disk quota", "Cannot write to file")
_OUT_OF_MEMORY = "Buffer manager"
_VERIFIED = b"verified"  # the last line of a builder that has done its work
REBUILD = "delete the folder store/ and run `csrms graph CONFIG` again"
# Column types that hold more than values.
_WHOLE = (("RECURSIVE_REL", "path"), ("NODE", "node"), ("REL", "rel"), ("INTERNAL_ID", "id of the engine"))
_ENGINE_ERRORS = (RuntimeError, ValueError, TypeError, ArithmeticError, IndexError)

_MEANINGS = (
    ("Parser exception", "syntax error in the query", "correct it; the graph's schema is in the documentation"),
    ("Interrupted", "the query ran too long", "narrow it or add a LIMIT"),
    ("Could not set lock", "the graph file is locked", "close the program that has it open for writing"),
    ("read-only", "the graph is read-only", "a run is changed by publishing another one"),
    ("Binder exception", "the query names something that is not there", "see the graph's schema"),
    ("Catalog exception", "the query names something that is not there", "see the graph's schema"),
    (_OUT_OF_MEMORY, "the query needs more memory than the store may use", "narrow it or add a LIMIT"),
    ("not a valid", "the generation file is damaged", REBUILD),
    ("orrupt", "the generation file is damaged", REBUILD),
    ("hecksum", "the generation file is damaged", REBUILD),
)


def buffer_pool(file_bytes: int) -> int:
    """Bytes that the engine may use for pages and intermediate rows of a file of this size.

    128 MB are too little for anything, and the engine's default is most of the machine. Ten million instances (1.8 GB)
    cannot be built with 1.3 GB and can with 1.5; questions that look at all of them want twice that. They take what
    they need of it, at most half of the machine.
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(256 << 20, min((256 << 20) + 3 * file_bytes // 2, physical // 2))


def _meaning(error: BaseException) -> StoreError:
    """The engine's error, which is always a RuntimeError with some text, as one sentence."""
    text = str(error)
    line = " ".join(text.split("\n")[0].split())
    for needle, what, remedy in _MEANINGS:
        if needle in text:
            return StoreError(what, got=f"'{line}'", remedy=remedy)
    return StoreError("the query cannot be answered", got=f"'{line}'", remedy="change the query or its parameters")


@dataclass(frozen=True)
class StoredRun:
    """A kept run: its key, the folder of its tables and the digest of what was published."""

    key: str
    tables: str
    content: str


@dataclass(frozen=True)
class Generation:
    """What the pointer file says. live: the live run of each data set; runs: the newest last."""

    number: int
    engine: str
    schema_version: int
    live: Mapping[str, str]
    runs: tuple[StoredRun, ...]

    @property
    def file(self) -> str:
        return f"graph.{self.number}.lbug"

    def find(self, key: str) -> StoredRun | None:
        return next((run for run in self.runs if run.key == key), None)

    def of_dataset(self, dataset: str) -> tuple[StoredRun, ...]:
        return tuple(run for run in self.runs if dataset_of(run.key) == dataset)


class EmbeddedStore:
    """A GraphStore in a local folder, without a server.

    folder: made at the first publication. schema: the node and edge types, for a method that adds its own. Several
    processes may read while one publishes; a second publisher is refused. The object may be pickled.
    """

    def __init__(self, folder: str | Path, schema: Schema = SCHEMA) -> None:
        self.folder = Path(folder).absolute()
        self.schema = schema
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
        return type(self), (self.folder, self.schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the open generation; the next query opens the newest."""
        with self._lock:
            if self._database is not None:
                self._database.close()
            self._database = self._opened = None

    # -- writing ---------------------------------------------------------------------------------------------------

    def publish(self, publication: Publication, progress: Progress | None = None) -> str:
        """Store a run whole and make it live; see GraphStore.publish."""
        tables = publication_tables(publication, self.schema)
        run = StoredRun(
            publication.run_key,
            folder_name(publication.run_key),
            tables["Run"].table()["content"][0].as_py(),
        )
        with disk_errors(str(self.folder)), self._writing():
            current = self._pointer()
            self._sweep(current)
            stored = current.find(run.key) if current else None
            if current and stored:
                if stored.content != run.content:
                    raise StoreError(
                        f"run {run.key}",
                        got="other instances, labels or patterns than are stored under the same fingerprint",
                        expected="the same ones, because a stored run never changes",
                        remedy="publish under a fingerprint of all inputs",
                    )
                if self._confirm(current, run.key, publication.hierarchy.n_rows):
                    return run.key
            else:
                self._write_tables(run, tables)
            others = tuple(other for other in (current.runs if current else ()) if other.key != run.key)
            same = [other for other in others if dataset_of(other.key) == publication.dataset_key]
            dropped = same[: max(0, len(same) - KEPT_RUNS + 1)]
            runs = (*(other for other in others if other not in dropped), run)
            live = {**(current.live if current else {}), publication.dataset_key: run.key}
            self._next_generation(current, runs, live, progress)
        return run.key

    def go_live(self, run: str) -> None:
        """Make a stored run the live one, in a new generation; see GraphStore.go_live."""
        with disk_errors(str(self.folder)), self._writing():
            current = self._stored(run)
            if current.live[dataset_of(run)] != run:
                self._next_generation(current, current.runs, {**current.live, dataset_of(run): run})

    def retire(self, run: str) -> None:
        """Leave a run out of a new generation; see GraphStore.retire."""
        with disk_errors(str(self.folder)), self._writing():
            current = self._stored(run)
            refuse_retiring_live(run, current.live[dataset_of(run)])
            self._next_generation(current, tuple(other for other in current.runs if other.key != run), current.live)

    def write_bundle(self, folder: str | Path, progress: Progress | None = None) -> int:
        """Write all that is stored as the input of neo4j-admin's import; how many rows. See graphstore.bundle."""
        with disk_errors(str(self.folder)), self._writing():
            current = self._published()
            staging = Path(tempfile.mkdtemp(prefix=".build.", dir=self.folder))
            try:
                rows = {table: StoredRows(files) for table, files in self._files(current, staging).items()}
                return write_bundle(rows, self.schema, folder, progress)
            finally:
                _remove(staging)

    def _stored(self, run: str) -> Generation:
        """The current generation, which holds the run."""
        current = self._pointer()
        if current is None or current.find(run) is None:
            raise unknown_run(run, [other.key for other in current.runs] if current else [])
        return current

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Make the folder and keep a second publisher out of it."""
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

    def _sweep(self, current: Generation | None) -> None:
        """Remove what killed publications left, and what the pointer has not named for two generations."""
        for pattern in (".build.*", f".{POINTER}.*"):
            for leftover in self.folder.glob(pattern):
                _remove(leftover)
        if current is None:
            return
        recent = {f"graph.{number}.lbug" for number in (current.number, current.number - 1)}
        kept = {run.tables for run in current.runs}
        for path in self.folder.glob("graph.*"):
            if path.name not in recent:
                _remove(path)
        for path in (self.folder / "tables").glob("*"):
            if path.name not in kept:
                _remove(path)

    def _confirm(self, current: Generation, run: str, n_rows: int) -> bool:
        """Whether the current generation can be read, and the run is live in it with all its instances."""
        try:
            return current.engine == _engine().__version__ and any(
                info.key == run and info.live and info.status == "ready" and info.n_instances == n_rows
                for info in self.runs()
            )
        except StoreError:
            return False

    def _write_tables(self, run: StoredRun, tables: Tables) -> None:
        staging = Path(tempfile.mkdtemp(prefix=".build.", dir=self.folder))
        try:
            with ThreadPoolExecutor(WRITERS) as pool:
                list(pool.map(_write_table, tables.values(), [staging / f"{name}.parquet" for name in tables]))
            staging.chmod(0o755)
            target = self.folder / "tables" / run.tables
            target.parent.mkdir(exist_ok=True)
            _remove(target)
            staging.rename(target)
            _flush(target)
            _flush(target.parent)
        finally:
            _remove(staging)

    def _next_generation(
        self,
        current: Generation | None,
        runs: Sequence[StoredRun],
        live: Mapping[str, str],
        progress: Progress | None = None,
    ) -> Generation:
        number = current.number + 1 if current else 1
        generation = Generation(number, _engine().__version__, SCHEMA_VERSION, dict(live), tuple(runs))
        staging = Path(tempfile.mkdtemp(prefix=".build.", dir=self.folder))
        try:
            self._build(staging, self._files(generation, staging), progress)
            (staging / _DATABASE).chmod(0o444)
            _flush(staging / _DATABASE)
            (staging / _DATABASE).replace(self.folder / generation.file)
        finally:
            _remove(staging)
        _flush(self.folder)
        write_whole(self.folder / POINTER, (canonical_json(dataclasses.asdict(generation)) + "\n").encode())
        _flush(self.folder)
        self._sweep(generation)
        return generation

    def _files(self, generation: Generation, staging: Path) -> dict[str, list[Path]]:
        """The Parquet files of all rows of a generation, by table; those that must be made lie in `staging`."""
        files: dict[str, list[Path]] = {kind.table: [] for kind in self.schema.types}
        for place, (dataset, live_run) in enumerate(generation.live.items()):
            folders = [self._tables_of(run) for run in reversed(generation.of_dataset(dataset))]
            made = staging / str(place)
            made.mkdir()
            for table, of_table in merged(folders, self.schema, live_run, made).items():
                files[table] += of_table
        return files

    def _tables_of(self, run: StoredRun) -> Path:
        """The folder of a run's tables, which are all there."""
        folder = self.folder / "tables" / run.tables
        try:
            for kind in self.schema.types:
                found = pq.read_schema(folder / f"{kind.table}.parquet")
                if not found.equals(kind.arrow()):
                    raise pa.ArrowInvalid(f"{kind.table} has the columns {', '.join(found.names)}")
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise StoreError(f"tables of run {run.key}", got=str(error), remedy=REBUILD) from error
        return folder

    def _build(self, staging: Path, files: Mapping[str, Sequence[Path]], progress: Progress | None) -> None:
        """Let a child process build and verify the database in `staging`; its death is no danger to this one."""
        n_rows = {table: count_rows(of_table) for table, of_table in files.items()}
        job = {
            "ddl": self.schema.ddl(),
            "copies": [
                [f"COPY {name} FROM '{os.path.relpath(file, staging)}'{ends}", count_rows([file])]
                for table, name, ends in self.schema.copies()
                for file in files[table]
            ],
            "counts": [[table, query, n_rows[table]] for table, query in self.schema.counting()],
            "buffer_pool": buffer_pool(BYTES_A_ROW * sum(n_rows.values())),
        }
        (staging / _JOB).write_text(canonical_json(job))
        if progress:
            progress.total = progress.total or sum(n_rows.values())
        # -P: the staging folder is the child's working folder (so that paths need no quoting), not a place for modules
        command = [sys.executable, "-P", "-m", "graphstore.embedded.store"]
        root = str(Path(__file__).resolve().parents[2])
        search = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
        verified = False
        with (staging / _ERRORS).open("wb") as errors:
            child = subprocess.Popen(
                command,
                cwd=staging,
                env={**os.environ, "PYTHONPATH": search},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
            with child:
                try:
                    for line in child.stdout or ():
                        verified = line.strip() == _VERIFIED
                        if progress and line.strip().isdigit():
                            progress.update(int(line))
                except BaseException:
                    child.kill()
                    raise
        # where SIGCHLD is ignored, as a host process may do, the exit code of a killed child reads 0
        if child.returncode or not verified:
            raise _child_error(staging, child.returncode)

    # -- reading ---------------------------------------------------------------------------------------------------

    def _pointer(self) -> Generation | None:
        try:
            facts = json.loads((self.folder / POINTER).read_text())
            check_version(str(self.folder), facts["schema_version"])
            runs = tuple(StoredRun(**run) for run in facts.pop("runs"))
            return Generation(runs=runs, **facts)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{self.folder / POINTER} is damaged",
                got=str(error),
                remedy=REBUILD,
            ) from error

    def _published(self) -> Generation:
        current = self._pointer()
        if current is None:
            raise StoreError(f"no graph is published in {self.folder}", remedy="run `csrms graph CONFIG` first")
        return current

    def _current(self) -> Generation:
        """The generation to read, built again if another engine or schema made it."""
        current = self._published()
        if current.engine == _engine().__version__ and current.schema_version == SCHEMA_VERSION:
            return current
        with disk_errors(str(self.folder)), self._writing():
            return self._next_generation(current, current.runs, current.live)

    def _open(self) -> Any:
        """The newest generation's read-only database, kept open until a newer one is there."""
        current = self._current()
        if self._database is not None and self._opened == current:
            return self._database
        self.close()
        for attempt in range(3):
            path = self.folder / current.file
            if path.exists():
                break
            if attempt == 2:
                raise StoreError(f"{path} is missing", remedy="publish the run again")
            current = self._current()  # two publications went by since the pointer was read
        try:
            pool = buffer_pool(path.stat().st_size)
            self._database = _engine().Database(str(path), read_only=True, buffer_pool_size=pool)
        except _ENGINE_ERRORS as error:
            raise _meaning(error) from error
        self._opened = current
        return self._database

    def _answer(self, text: str, params: Mapping[str, Any], timeout_s: float) -> pa.Table:
        with self._lock:
            database = self._open()
            try:
                connection = _engine().Connection(database)
                try:
                    if timeout_s:
                        connection.set_query_timeout(max(1, int(timeout_s * 1000)))
                    result = connection.execute(text, {name: plain_parameter(value) for name, value in params.items()})
                    types = " ".join(result.get_column_data_types())
                    whole = next((name for word, name in _WHOLE if word in types), "")
                    if whole:
                        raise StoreError(
                            "the query", got=f"a whole {whole} in RETURN", expected="properties such as n.key"
                        )
                    return _plain(result.get_as_arrow())
                finally:
                    connection.close()
            except _ENGINE_ERRORS as error:
                if _OUT_OF_MEMORY in str(error):
                    self.close()  # after it the engine may refuse even small questions
                raise _meaning(error) from error

    def _read(self, query: str | Columns, params: Mapping[str, Any]) -> pa.Table:
        text = query.by_rows if isinstance(query, Columns) else query
        return self._answer(text, {name: params[name] for name in parameters(text)}, 0)

    def query(
        self,
        query: str | NamedQuery,
        params: Mapping[str, Any] | None = None,
        *,
        limit: int = ROW_LIMIT,
        timeout_s: float = TIMEOUT_S,
    ) -> pa.Table:
        """Answer one reading query; see GraphStore.query. The engine looks at the clock between batches of rows."""
        text = query.text if isinstance(query, NamedQuery) else query
        check_limits(limit, timeout_s)
        given = dict(params or {})
        return with_limit(self._answer(reading(text, given), given, timeout_s), limit)

    def live_run(self, dataset: str = "") -> str | None:
        """The key of a data set's live run; see GraphStore.live_run."""
        current = self._pointer()
        return the_live_run(current.live if current else {}, dataset)

    def runs(self) -> list[RunInfo]:
        """The stored runs, oldest publication first."""
        with self._lock:
            current = self._pointer()
            if current is None:
                return []
            order = [run.key for run in self._current().runs]
            return sorted(read_runs(self._read), key=lambda info: order.index(info.key))

    def resolve_instance(self, source_id: str, run: str) -> str:
        """The key of the instance with the user's own id `source_id`; see GraphStore.resolve_instance."""
        return read_instance(self._read, source_id, dataset_of(run))

    def export(self, run: str) -> HierarchyGraph:
        """The hierarchy of a run from its edges; see GraphStore.export."""
        return read_hierarchy(self._read, ready_run(self.runs(), run))


def _engine() -> Any:
    return require("ladybug")


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_decimal(kind) and kind.scale == 0:
        return pa.int64()
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64()
    if pa.types.is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    return kind


def _plain(table: pa.Table) -> pa.Table:
    """The engine's answer with int64 for every whole number (sums are decimals there) and float64 for every other."""
    if len(set(table.column_names)) != table.num_columns:
        raise StoreError("the query", got="two columns of one name", expected="distinct names", remedy="use AS")
    return table.cast(pa.schema([(field.name, _plain_type(field.type)) for field in table.schema]))


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


# -- the child process ----------------------------------------------------------------------------------------------


def _child_error(staging: Path, code: int) -> CsrmsError:
    """What went wrong in the builder, in one sentence."""
    remedy = "what was published before is untouched; publish again"
    if code < 0:
        name = signal.Signals(-code).name
        if name == "SIGKILL":
            remedy = f"{remedy}, with more memory if the system killed it for that"
        return StoreError("the process that builds the graph file", got=f"signal {name}", remedy=remedy)
    with contextlib.suppress(OSError, ValueError, KeyError):
        message = json.loads((staging / _ERROR).read_text())["message"]
        full = next((needle for needle in _DISK_FULL if needle in message), None)
        if full:
            return RunDirectoryError(
                f"the graph file in {staging.parent}",
                got=f"'{full}'",
                remedy="what was published before is untouched; free some space and publish again",
            )
        if _OUT_OF_MEMORY in message:
            remedy = "what was published before is untouched; publish on a larger machine, or to Neo4j (NEO4J_URI)"
        return StoreError("the graph file cannot be built", got=f"'{message}'", remedy=remedy)
    lines = (staging / _ERRORS).read_text(errors="replace").strip().splitlines()
    return StoreError(
        "the process that builds the graph file", got=lines[-1] if lines else f"exit code {code}", remedy=remedy
    )


def _load(job: Mapping[str, Any]) -> None:
    """One autocommit COPY a table, then CHECKPOINT; print the rows of each table as it is done."""
    engine = _engine()
    database = engine.Database(_DATABASE, buffer_pool_size=job["buffer_pool"])
    connection = engine.Connection(database)
    for statement in job["ddl"]:
        connection.execute(statement)
    for statement, rows in job["copies"]:
        if rows:
            connection.execute(statement)
            print(rows, flush=True)
    connection.execute("CHECKPOINT")
    connection.close()
    database.close()


def _verify(job: Mapping[str, Any]) -> None:
    """Reopen read-only and count what each COPY wrote."""
    engine = _engine()
    leftovers = [path.name for path in Path().glob(f"{_DATABASE}.*") if path.stat().st_size]
    if leftovers:
        raise StoreError("the closed graph file", got=leftovers[0], expected="no log beside it")
    database = engine.Database(_DATABASE, read_only=True, buffer_pool_size=job["buffer_pool"])
    connection = engine.Connection(database)
    for table, query, rows in job["counts"]:
        found = connection.execute(query).get_next()[0]
        if found != rows:
            raise StoreError(f"rows of {table} in the graph file", got=str(found), expected=str(rows))
    connection.close()
    database.close()


def _child() -> int:
    try:
        job = json.loads(Path(_JOB).read_text())
        _load(job)
        _verify(job)
        print(_VERIFIED.decode(), flush=True)
    except (*_ENGINE_ERRORS, OSError, CsrmsError) as error:
        message = " ".join(str(error).split())
        with contextlib.suppress(OSError):
            Path(_ERROR).write_text(json.dumps({"message": message}))
        print(message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_child())
