"""The store in a Neo4j server, over Bolt; the only file that imports the driver.

One database holds all data sets and runs. A run is loaded under the status `loading`, in transactions that are written
exactly once (`neo4j_load`); its counts are compared with what was published, and one transaction makes it `ready` and
live. Until then readers, who pass the key of the live run to every query, see the run that was live before. A loader
killed at any moment, or a server, leaves a run that the same publication completes.

User name and password come from the environment; they are in no text, log or pickle of this store.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from csrms_dist.basics.progress import Progress
from csrms_dist.errors import ConfigError, DataError, StoreError, require
from csrms_dist.hierarchy.graph import HierarchyGraph
from graphstore.cypher import parameters, reading
from graphstore.neo4j.load import (
    LEDGER,
    LEDGER_INDEX,
    AlreadyWrittenError,
    Loader,
    Statement,
    TooLargeError,
    clearing,
    content_of,
    counting,
)
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
    plain_parameter,
    ready_run,
    refuse_retiring_live,
    the_live_run,
    unknown_run,
    with_limit,
)
from graphstore.tables import Tables, contradiction, publication_tables

ENCRYPTED = ("neo4j+s", "bolt+s")
SCHEMES = ("neo4j", "bolt", *ENCRYPTED, "neo4j+ssc", "bolt+ssc")
UNVERIFIED = "CSRMS_NEO4J_UNVERIFIED"
CONNECT_S = 5.0
RETRY_READS_S = 5.0
RETRY_WRITES_S = 60.0
WRITE_S = 300.0
LONGEST_ID = 4096  # bytes; an index entry of Neo4j ends near 8,000
DELETED = 10_000
AS_LISTS = 200
"""From this limit on, a named query's answer is fetched as lists: one record a row costs several times as much."""

_OWN = ("Dataset", "Run")  # the tables that the store writes itself
_BEGIN_DATASET = """
MERGE (d:Dataset {key: $key})
ON CREATE SET d.live_run = '', d.n_instances = 0,
  d.name = $name, d.version = $version, d.multi_label = $multi_label, d.n_classes = $n_classes
SET d.schema_version = $schema_version
RETURN d.key AS key, d.name AS name, d.version AS version, d.multi_label AS multi_label, d.n_classes AS n_classes,
  d.shared AS shared
"""
_NEW_SHARED = "MATCH (d:Dataset {key: $key}) SET d.shared = $shared RETURN count(d) AS n"
_FORGET = "MATCH (b:LoadBatch {of: $of}) WITH b LIMIT $n DELETE b RETURN count(*) AS n"
_STORED_RUN = "MATCH (r:Run {key: $run}) RETURN r.content AS content, r.status AS status"
_BEGIN_RUN = "MERGE (r:Run {key: $run}) ON CREATE SET r += $columns, r.status = 'loading' RETURN count(r) AS n"
_CLASSES = Columns("MATCH (c:Class {dataset: $dataset}) ", (("idx", "c.idx"), ("name", "c.name")))
_NAMES = Columns("UNWIND $keys AS key MATCH (i:Instance {key: key}) ", (("key", "i.key"), ("source_id", "i.source_id")))
_GO_LIVE = """
MATCH (d:Dataset {key: $dataset}), (r:Run {key: $run})
SET r.status = 'ready', d.live_run = $run, d.n_instances = $n_instances
RETURN count(*) AS n
"""
_INSTANCES = "MATCH (i:Instance) WHERE i.key STARTS WITH $prefix AND i.dataset = $dataset RETURN count(*) AS n"
_LABELS = """
MATCH (p:Pattern {run: $run})<-[:IN_PATTERN]-(i:Instance)
RETURN sum(COUNT { (i)-[:HAS_LABEL]->() }) AS n
"""
_STATUS = "MATCH (r:Run {key: $run}) SET r.status = $status RETURN count(r) AS n"
_LIVE = "MATCH (d:Dataset) WHERE d.live_run <> '' RETURN d.key AS key, d.live_run AS live_run"
_VERSION = "MATCH (d:Dataset) RETURN max(d.schema_version) AS version"


# The driver warns of every retry; what comes of it is said by the store.
logging.getLogger("neo4j").addHandler(logging.NullHandler())


class Neo4jStore:
    """A GraphStore in a Neo4j 5 server.

    uri: neo4j+s:// or bolt+s://, and on this machine also neo4j:// and bolt://. database: its name. schema: the node
    and edge types, for a method that adds its own. unverified: allow a connection to another machine that is not
    encrypted, or whose certificate is not checked. Nothing is sent before the first call. Raises ConfigError on a URI
    that is not safe, StoreError, in one sentence, for what the server says. A pickle holds no login: where it is
    opened, the environment names the server.
    """

    def __init__(
        self,
        uri: str,
        username: str,
        password: str,
        database: str = "neo4j",
        *,
        schema: Schema = SCHEMA,
        unverified: bool = False,
    ) -> None:
        self._uri = _checked_uri(uri, unverified)
        self.database = database
        self.schema = schema
        self._login: Callable[[], tuple[str, str]] = lambda: (username, password)
        self._driver: Any = None
        self._prepared = self._checked = False
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls, schema: Schema = SCHEMA) -> Neo4jStore:
        """The store that NEO4J_URI, NEO4J_USERNAME (neo4j), NEO4J_PASSWORD and NEO4J_DATABASE (neo4j) name."""
        values = {name: os.environ.get(f"NEO4J_{name}", "") for name in ("URI", "USERNAME", "PASSWORD", "DATABASE")}
        for name in ("URI", "PASSWORD"):
            if not values[name]:
                raise ConfigError(f"the variable NEO4J_{name}", got="nothing", expected="a value for the Neo4j server")
        return cls(
            values["URI"],
            values["USERNAME"] or "neo4j",
            values["PASSWORD"],
            values["DATABASE"] or "neo4j",
            schema=schema,
            unverified=os.environ.get(UNVERIFIED, "").lower() in ("1", "true", "yes"),
        )

    def __repr__(self) -> str:
        return f"Neo4jStore({self._uri!r}, database={self.database!r})"

    @property
    def location(self) -> str:
        """The address of the server and the name of the database."""
        return f"{self._uri}, database {self.database}"

    def __reduce__(self) -> tuple[Any, ...]:
        return Neo4jStore.from_environment, (self.schema,)  # a pickle holds no password

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the next call opens others."""
        with self._lock:
            if self._driver is not None:
                self._driver.close()
            self._driver = None
            self._prepared = self._checked = False

    # -- writing ---------------------------------------------------------------------------------------------------

    def publish(self, publication: Publication, progress: Progress | None = None) -> str:
        """Load a run, compare its counts and make it live; see GraphStore.publish."""
        tables = publication_tables(publication, self.schema)
        longest = _longest(tables["Instance"].blocks())
        if longest > LONGEST_ID:
            raise DataError(
                "ids of the publication", got=f"one of {longest} bytes", expected=f"at most {LONGEST_ID}",
                remedy="nothing was written; a long text belongs into uris",
            )  # fmt: skip
        run, dataset = publication.run_key, publication.dataset_key
        self._prepare()
        columns = tables["Run"].table().to_pylist()[0]
        state = self._first(_STORED_RUN, {"run": run}, write=False) or {**columns, "status": None}
        if state["content"] != columns["content"]:
            raise StoreError(
                f"run {run}",
                got="other instances, labels or patterns than are stored under the same fingerprint",
                expected="the same ones, because a stored run never changes",
                remedy="publish under a fingerprint of all inputs",
            )
        if state["status"] == "retired":
            raise StoreError(f"run {run}", got="a run that is being removed", remedy="finish with retire, publish then")
        if state["status"] != "ready":
            self._load(publication, tables, progress)
        prefix = {"prefix": f"{dataset}/", "dataset": dataset}
        n_instances = self._first(_INSTANCES, prefix)["n"]
        self._write([(_GO_LIVE, {"dataset": dataset, "run": run, "n_instances": n_instances}, 1)])
        return run

    def _load(self, publication: Publication, tables: Tables, progress: Progress | None) -> None:
        run, dataset = publication.run_key, publication.dataset_key
        shared_kinds = [kind for kind in self.schema.types if not self.schema.of_run(kind) and kind.table not in _OWN]
        shared = f"{dataset} {content_of((kind.table, tables[kind.table]) for kind in shared_kinds)}"
        row = tables["Dataset"].table().to_pylist()[0]
        columns = {key: row[key] for key in ("key", "name", "version", "multi_label", "n_classes")}
        stored = self._first(_BEGIN_DATASET, {**columns, "schema_version": SCHEMA_VERSION})
        changed = next((name for name in columns if stored[name] != columns[name]), None)
        if changed:
            raise contradiction(f"Dataset.{changed}", repr(columns[changed]))
        before = stored["shared"]
        if before != shared:  # other rows were written last: what the ledger says of these is of an earlier time
            self._refuse_contradictions(publication, tables)
            self._repeat(_FORGET, {"of": shared})
            self._write([(_NEW_SHARED, {"key": dataset, "shared": shared}, 1)])
        columns = {name: value for name, value in tables["Run"].table().to_pylist()[0].items() if name != "key"}
        self._write([(_BEGIN_RUN, {"run": run, "columns": columns}, 1)])
        Loader(self.schema, tables, run, shared, self._write, self._ask).load(_OWN, progress)
        self._verify(publication, tables)

    def _refuse_contradictions(self, publication: Publication, tables: Tables) -> None:
        """Raise DataError when stored runs of the data set give other names or labels to its instances or classes."""
        graph, dataset = publication.hierarchy, publication.dataset_key
        ready = [info.key for info in self.runs() if info.dataset_key == dataset and info.status == "ready"]
        if not ready:
            return
        for known in self._read(_CLASSES, {"dataset": dataset}).to_pylist():
            if publication.class_names[known["idx"]] != known["name"]:
                raise contradiction("Class.name", repr(publication.class_names[known["idx"]]))
        for run in ready:
            stored = self.export(run)
            _, theirs, ours = np.intersect1d(stored.instance, graph.instance, assume_unique=True, return_indices=True)
            if (stored.membership[theirs] != graph.membership[ours]).nnz:
                raise contradiction("Instance.HAS_LABEL.Class", "other labels of the same instances")
        for block in tables["Instance"].blocks():
            given = dict(zip(block["key"].to_pylist(), block["source_id"].to_pylist(), strict=True))
            for known in self._read(_NAMES, {"keys": list(given)}).to_pylist():
                if given[known["key"]] != known["source_id"]:
                    raise contradiction("Instance.source_id", repr(given[known["key"]]))

    def _verify(self, publication: Publication, tables: Tables) -> None:
        """Compare what is stored of the run with what was published."""
        run = publication.run_key
        expected = {table: tables[table].n for table, _ in counting(self.schema)}
        found = {table: self._first(text, {"run": run})["n"] for table, text in counting(self.schema)}
        labels = self._first(_LABELS, {"run": run})["n"]
        expected["Instance.HAS_LABEL.Class"] = publication.hierarchy.membership.nnz
        found["Instance.HAS_LABEL.Class"] = labels
        wrong = next((table for table in expected if expected[table] != found[table]), None)
        if wrong:
            self._write([(_STATUS, {"run": run, "status": "failed"}, 1)])
            raise StoreError(
                f"run {run}",
                got=f"{found[wrong]} rows of {wrong} in the database",
                expected=str(expected[wrong]),
                remedy="the live run is untouched; retire this one and publish it again",
            )

    def go_live(self, run: str) -> None:
        """Make a stored run the live one, in one property; see GraphStore.go_live."""
        self._prepare()
        info = ready_run(self.runs(), run)
        prefix = {"prefix": f"{info.dataset_key}/", "dataset": info.dataset_key}
        n_instances = self._first(_INSTANCES, prefix)["n"]
        self._write([(_GO_LIVE, {"dataset": info.dataset_key, "run": run, "n_instances": n_instances}, 1)])

    def retire(self, run: str) -> None:
        """Remove a run, a bounded number of rows at a time; called again it goes on. See GraphStore.retire."""
        self._prepare()
        infos = self.runs()
        if run not in [info.key for info in infos]:
            raise unknown_run(run, [info.key for info in infos])
        refuse_retiring_live(run, self.live_run(dataset_of(run)))
        self._write([(_STATUS, {"run": run, "status": "retired"}, 1)])
        for text in clearing(self.schema):
            self._repeat(text, {"run": run})
        self._repeat("MATCH (r:Run {key: $run}) WITH r LIMIT $n DETACH DELETE r RETURN count(*) AS n", {"run": run})

    def _repeat(self, text: str, params: dict[str, Any]) -> None:
        """Run a statement that deletes $n rows at the most until nothing is left."""
        while self._first(text, {**params, "n": DELETED})["n"]:
            pass

    def _prepare(self) -> None:
        """Constraints and indexes, once a connection; refuse a database that a newer version wrote."""
        if self._prepared:
            return
        self._is_published()
        for statement in (*self.schema.constraints(), LEDGER, LEDGER_INDEX):
            self._first(statement, {})
        self._first("CALL db.awaitIndexes(300)", {})
        self._prepared = True

    def _is_published(self) -> bool:
        """Whether the database holds a data set; refuses one that a newer version wrote. Asked until it does."""
        if not self._checked:
            version = self._first(_VERSION, {}, write=False)["version"]
            check_version(self.location, version or 0)
            self._checked = version is not None
        return self._checked

    # -- reading ---------------------------------------------------------------------------------------------------

    def query(
        self,
        query: str | NamedQuery,
        params: Mapping[str, Any] | None = None,
        *,
        limit: int = ROW_LIMIT,
        timeout_s: float = TIMEOUT_S,
    ) -> pa.Table:
        """Answer one reading query in a read-only session; see GraphStore.query. The server ends it at the timeout."""
        text = query.text if isinstance(query, NamedQuery) else query
        check_limits(limit, timeout_s)
        given = {name: plain_parameter(value) for name, value in (params or {}).items()}
        text = reading(text, given)
        if not self._is_published():
            raise StoreError(f"no graph is published in {self.location}", remedy="run `csrms graph CONFIG` first")
        if isinstance(query, NamedQuery) and limit >= AS_LISTS:
            table = self._lists(text, given, query, limit, timeout_s)
            if table is not None:
                return with_limit(table, limit)
        names, rows = self._rows(text, given, limit + 1, timeout_s)
        kinds = query.schema if isinstance(query, NamedQuery) else None
        return with_limit(_table(names, [list(column) for column in zip(*rows, strict=True)], kinds), limit)

    def _lists(
        self, text: str, params: Mapping[str, Any], query: NamedQuery, limit: int, timeout_s: float
    ) -> pa.Table | None:
        """The answer in one record with a list for each column, or None where a null would be lost on the way."""
        names = ", ".join(f"`{name}`" for name in query.columns)
        lists = ", ".join(f"collect(`{name}`) AS `{name}`" for name in query.columns)
        wrapped = (
            f"CALL () {{\n{text}\n}} WITH {names} LIMIT {int(limit) + 1} RETURN count(*) AS `count of rows`, {lists}"
        )
        _, rows = self._rows(wrapped, params, 1, timeout_s)
        count, *columns = rows[0]
        if any(len(column) != count for column in columns):
            return None
        return _table(list(query.columns), columns, query.schema)

    def _rows(
        self, text: str, params: Mapping[str, Any], limit: int, timeout_s: float
    ) -> tuple[list[str], list[list[Any]]]:
        """Column names and at most `limit` rows of an answer."""
        neo4j = _driver()

        def work(transaction: Any) -> Any:
            result = transaction.run(text, dict(params))
            rows = [record.values() for record in result.fetch(limit)]
            return list(result.keys()), rows, result.consume()

        with self._errors(), self._session(write=False, fetch=min(limit, 10_000)) as session:
            names, rows, summary = session.execute_read(neo4j.unit_of_work(timeout=timeout_s)(work))
        self._refuse_unknown_names(summary)
        return names, rows

    def _refuse_unknown_names(self, summary: Any) -> None:
        """Neo4j answers a query about a label or property that does not exist with nothing, and a notification."""
        known = {kind.table for kind in self.schema.nodes} | {edge.name for edge in self.schema.edges}
        known |= {column.name for kind in self.schema.types for column in kind.columns}
        for note in summary.gql_status_objects:
            if note.gql_status in ("01N50", "01N51", "01N52"):
                name = note.status_description.partition("`")[2].partition("`")[0]
                if name not in known:
                    raise StoreError(
                        "the query names something that is not there", got=f"'{name}'", remedy="see the graph's schema"
                    )

    def _live_runs(self) -> dict[str, str]:
        """The live run of each data set."""
        _, rows = self._rows(_LIVE, {}, ROW_LIMIT, TIMEOUT_S)
        return dict(rows)

    def live_run(self, dataset: str = "") -> str | None:
        """The key of a data set's live run; see GraphStore.live_run."""
        self._is_published()
        return the_live_run(self._live_runs(), dataset)

    def runs(self) -> list[RunInfo]:
        """The stored runs, in order of `created_ms`; see GraphStore.runs."""
        self._is_published()
        return read_runs(self._read)

    def resolve_instance(self, source_id: str, run: str) -> str:
        """The key of the instance with the user's own id `source_id`; see GraphStore.resolve_instance."""
        return read_instance(self._read, source_id, dataset_of(run))

    def export(self, run: str) -> HierarchyGraph:
        """The hierarchy of a run from its edges, in lists of a bounded length; see GraphStore.export."""
        return read_hierarchy(self._read, ready_run(self.runs(), run))

    def _read(self, query: str | Columns, params: Mapping[str, Any]) -> pa.Table:
        if isinstance(query, Columns):
            wanted = {name: params[name] for name in parameters(query.by_lists)}
            names, rows = self._rows(query.by_lists, wanted, 1, WRITE_S)
            return _table(names, rows[0], None)
        names, rows = self._rows(query, params, 1 << 30, WRITE_S)
        return _table(names, [list(column) for column in zip(*rows, strict=True)], None)

    # -- the server ------------------------------------------------------------------------------------------------

    def _write(self, statements: Sequence[Statement]) -> None:
        """All statements in one transaction, retried while the server says that it may be; see neo4j_load.Write."""
        neo4j = _driver()

        def work(transaction: Any) -> None:
            for text, params, expected in statements:
                try:
                    found = transaction.run(text, params).single()["n"]
                except neo4j.exceptions.ConstraintError as error:
                    if "LoadBatch" in str(error):
                        raise AlreadyWrittenError from error
                    raise
                except neo4j.exceptions.Neo4jError as error:
                    if "MemoryPoolOutOfMemory" in str(error.code):
                        raise TooLargeError from error
                    raise
                if found != expected:
                    raise StoreError(
                        "a batch of rows",
                        got=f"{found} of {expected} written",
                        remedy="retire the run and publish again",
                    )

        with self._errors(), self._session(write=True) as session:
            session.execute_write(neo4j.unit_of_work(timeout=WRITE_S)(work))

    def _first(self, text: str, params: Mapping[str, Any], *, write: bool = True) -> dict[str, Any]:
        """The first row of an answer, by column."""
        neo4j = _driver()

        def work(transaction: Any) -> dict[str, Any]:
            record = next(iter(transaction.run(text, dict(params))), None)
            return {} if record is None else dict(record)

        with self._errors(), self._session(write=write) as session:
            execute = session.execute_write if write else session.execute_read
            found: dict[str, Any] = execute(neo4j.unit_of_work(timeout=WRITE_S)(work))
        return found

    def _ask(self, text: str, params: dict[str, Any]) -> Any:
        return next(iter(self._first(text, params, write=False).values()), None)

    def _session(self, *, write: bool, fetch: int = 1000) -> Any:
        neo4j = _driver()
        with self._lock:
            if self._driver is None:
                self._driver = neo4j.GraphDatabase.driver(
                    self._uri,
                    auth=self._login(),
                    connection_timeout=CONNECT_S,
                    connection_acquisition_timeout=2 * CONNECT_S,
                    user_agent="csrms-dist",
                    notifications_disabled_classifications=["PERFORMANCE", "HINT", "DEPRECATION", "GENERIC"],
                )
        access = neo4j.WRITE_ACCESS if write else neo4j.READ_ACCESS
        return self._driver.session(
            database=self.database,
            default_access_mode=access,
            fetch_size=fetch,
            max_transaction_retry_time=RETRY_WRITES_S if write else RETRY_READS_S,
        )

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """What the driver raises, as one sentence."""
        neo4j = _driver()
        try:
            yield
        except (neo4j.exceptions.Neo4jError, neo4j.exceptions.DriverError, ValueError, TypeError, OSError) as error:
            raise _meaning(error, self.location) from error


def _driver() -> Any:
    return require("neo4j")


def _checked_uri(uri: str, unverified: bool) -> str:
    """The URI, if it is one, holds no password and is safe for where it leads."""
    parts = urlsplit(uri)
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            "NEO4J_URI", got="a user or a password in it", expected="an address alone",
            remedy="set NEO4J_USERNAME and NEO4J_PASSWORD",
        )  # fmt: skip
    try:
        port_is_one = parts.port != 0
    except ValueError:
        port_is_one = False
    if parts.scheme not in SCHEMES or not parts.hostname or not port_is_one:
        raise ConfigError("NEO4J_URI", got=repr(uri), expected="such as neo4j+s://graph.example.org:7687")
    if parts.scheme not in ENCRYPTED and not unverified and not _is_here(parts.hostname):
        raise ConfigError(
            "NEO4J_URI", got=f"{parts.scheme}:// to {parts.hostname}", expected="neo4j+s:// to another machine",
            remedy=f"set {UNVERIFIED}=1 only in a network that you trust",
        )  # fmt: skip
    return uri


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_BROKEN = "see the server's disk, and its log; then restart it (make neo4j-stop neo4j) and do the same again"
_CODES = (
    ("Security.Unauthorized", "the Neo4j server refuses the login", "check NEO4J_USERNAME and NEO4J_PASSWORD"),
    ("Security.AuthenticationRateLimit", "the Neo4j server refuses logins for a while", "wait, and check the password"),
    ("Security.CredentialsExpired", "the Neo4j server wants a new password", "change it once in Neo4j Browser"),
    (
        "Security.Forbidden",
        "the Neo4j server forbids this",
        "give the user of NEO4J_USERNAME the right to read and write",
    ),
    ("Database.DatabaseNotFound", "the Neo4j server has no such database", "check NEO4J_DATABASE"),
    ("TransactionTimedOut", "the query ran too long", "narrow it or add a LIMIT"),
    ("LockAcquisitionTimeout", "another transaction holds what is to be written", "try again when it is done"),
    ("Statement.SyntaxError", "syntax error in the query", "correct it; the graph's schema is in the documentation"),
    ("Statement.AccessMode", "the graph is read-only", "a run is changed by publishing another one"),
    ("MemoryPoolOutOfMemory", "the query needs more memory than the server gives", "narrow it or add a LIMIT"),
    ("StackOverFlow", "the query needs more memory than the server gives", "shorten it"),
    ("Database.DatabaseUnavailable", "the database is not available", "see the server's log: a full disk stops it"),
    ("Transaction.TransactionStartFailed", "the database stands still until a restart", _BROKEN),
    ("Transaction.TransactionCommitFailed", "the Neo4j server cannot write", _BROKEN),
    ("Transaction.TransactionLogError", "the Neo4j server cannot write its log", _BROKEN),
)


def _meaning(error: BaseException, location: str) -> StoreError:
    """The driver's or the server's error as one sentence."""
    exceptions = _driver().exceptions
    code, text = str(getattr(error, "code", None) or ""), _one_line(error)
    if "result columns with the same name" in text:
        return StoreError("the query", got="two columns of one name", expected="distinct names", remedy="use AS")
    for needle, what, remedy in _CODES:
        if needle in code:
            return StoreError(what, got=f"'{text}'", remedy=remedy)
    if isinstance(error, exceptions.Neo4jError):
        full = "No space left" in text
        remedy = "free some space on the server's disk" if full else "change the query or its parameters"
        return StoreError("the query cannot be answered", got=f"'{text}'", remedy=remedy)
    causes = list(_causes(error))
    text = _one_line(causes[-1])
    if any(isinstance(cause, (ssl.SSLError, exceptions.CertificateConfigurationError)) for cause in causes):
        return StoreError(
            f"no encrypted connection to {location}", got=f"'{text}'",
            remedy="the server must offer TLS with a certificate that this machine trusts; on this machine use bolt://",
        )  # fmt: skip
    unreachable = exceptions.ServiceUnavailable, exceptions.SessionExpired, exceptions.ConnectionPoolError, OSError
    if isinstance(error, unreachable):
        return StoreError(
            f"no answer from {location}", got=f"'{text}'",
            remedy="start the server (make neo4j) or check NEO4J_URI; what was published before is untouched",
        )  # fmt: skip
    return StoreError("the query cannot be answered", got=f"'{text}'", remedy="change the query or its parameters")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it, the first cause last."""
    yield error
    before = [error.__cause__ or error.__context__, *getattr(error, "exceptions", ())]
    for cause in before:
        if cause is not None:
            yield from _causes(cause)


def _one_line(error: BaseException) -> str:
    text = str(getattr(error, "message", None) or error)
    return " ".join(text.split("\n")[0].split())[:300]


def _table(names: list[str], columns: list[list[Any]], kinds: pa.Schema | None) -> pa.Table:
    """Columns of plain values as Arrow: int64, float64, string, bool and lists of them.

    kinds: their types where they are known; else they follow from the values.
    """
    columns = columns or [[] for _ in names]
    for column in columns:
        kind = _graph_kind(next((value for value in column if value is not None), None))
        if kind:
            raise StoreError("the query", got=f"a whole {kind} in RETURN", expected="properties such as n.key")
    if kinds is not None:
        return pa.table(dict(zip(names, columns, strict=True)), schema=kinds)
    try:
        return pa.table({name: pa.array(_native(column)) for name, column in zip(names, columns, strict=True)})
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise StoreError(
            "the query", got=f"a column of several types: {_one_line(error)}",
            expected="text, numbers, true or false, dates, or lists of one of them",
        ) from error  # fmt: skip


def _native(value: Any) -> Any:
    """A date or a time of the driver as Python's; a duration as ISO text, since Arrow has none of months."""
    if isinstance(value, list):
        return [_native(part) for part in value]
    if isinstance(value, dict):
        return {name: _native(part) for name, part in value.items()}
    if hasattr(value, "to_native"):
        return value.to_native()
    return value.iso_format() if hasattr(value, "iso_format") else value


def _graph_kind(value: Any) -> str:
    """'node', 'rel' or 'path' if a value is or holds one, else ''."""
    graph = _driver().graph
    if isinstance(value, list | dict):
        parts = value.values() if isinstance(value, dict) else value
        return next((kind for kind in map(_graph_kind, parts) if kind), "")
    kinds = (("node", graph.Node), ("rel", graph.Relationship), ("path", graph.Path))
    return next((name for name, kind in kinds if isinstance(value, kind)), "")


def _longest(blocks: Iterable[pa.Table]) -> int:
    """Bytes of the longest id."""
    return max(pc.max(pc.binary_length(block["source_id"])).as_py() or 0 for block in blocks)
