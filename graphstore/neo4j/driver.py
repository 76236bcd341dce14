"""The driver `neo4j`; the only file that opens a connection: one database of a server, over Bolt.

User name and password come from the environment; they are in no text, log or pickle of this package.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from csrms_dist.errors import ConfigError, StoreError, require
from graphstore.backend import plain_parameter
from graphstore.neo4j.errors import meaning
from graphstore.neo4j.load import AlreadyWrittenError, Statement, TooLargeError

ENCRYPTED = ("neo4j+s", "bolt+s")
SCHEMES = ("neo4j", "bolt", *ENCRYPTED, "neo4j+ssc", "bolt+ssc")
UNVERIFIED = "CSRMS_NEO4J_UNVERIFIED"
CONNECT_S = 5.0
RETRY_READS_S = 5.0
RETRY_WRITES_S = 60.0
WRITE_S = 300.0
DELETED = 10_000
"""Rows that one transaction deletes at the most."""
# Of a label, an edge type or a property that the database does not have, in the notifications of an answer.
_UNKNOWN = ("01N50", "01N51", "01N52")


@dataclass(frozen=True)
class Answer:
    """names: of the columns. rows: a list of values each. unknown: names in the query that the database lacks."""

    names: list[str]
    rows: list[list[Any]]
    unknown: list[str]

    @property
    def columns(self) -> list[list[Any]]:
        return [list(column) for column in zip(*self.rows, strict=True)] or [[] for _ in self.names]


class Connection:
    """One database of a Neo4j server.

    uri: neo4j+s:// or bolt+s://, and on this machine also neo4j:// and bolt://.
    username, password: of the server.
    database: its name.
    unverified: allow a connection to another machine that is not encrypted, or whose certificate is not checked.

    Nothing is sent before the first call. Raises ConfigError on a URI that is not safe, StoreError for what the driver
    or the server says, in one sentence.
    """

    def __init__(self, uri: str, username: str, password: str, database: str, *, unverified: bool = False) -> None:
        self.uri = _checked_uri(uri, unverified)
        self.database = database
        self._login: Callable[[], tuple[str, str]] = lambda: (username, password)
        self._driver: Any = None
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        """The address of the server and the name of the database."""
        return f"{self.uri}, database {self.database}"

    def close(self) -> None:
        """Close the connections; the next call opens others."""
        with self._lock:
            if self._driver is not None:
                self._driver.close()
            self._driver = None

    def session(self, *, write: bool, fetch: int = 1000) -> Any:
        """A session of the driver. fetch: how many records the server sends at a time."""
        neo4j = require("neo4j")
        with self._lock:
            if self._driver is None:
                _keep_quiet()
                self._driver = neo4j.GraphDatabase.driver(
                    self.uri,
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

    def rows(self, text: str, params: Mapping[str, Any], limit: int, timeout_s: float = WRITE_S) -> Answer:
        """At most `limit` rows of an answer, read in a session that the server keeps from writing."""
        neo4j = require("neo4j")
        plain = {name: plain_parameter(value) for name, value in params.items()}

        def work(transaction: Any) -> Answer:
            result = transaction.run(text, plain)
            rows = [record.values() for record in result.fetch(limit)]
            return Answer(list(result.keys()), rows, _unknown_names(result.consume()))

        with self._errors(), self.session(write=False, fetch=min(limit, 10_000)) as session:
            found: Answer = session.execute_read(neo4j.unit_of_work(timeout=timeout_s)(work))
        return found

    def write(self, statements: Sequence[Statement]) -> None:
        """All statements in one transaction, retried while the server says that it may be; see neo4j.load.Write."""
        neo4j = require("neo4j")

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

        with self._errors(), self.session(write=True) as session:
            session.execute_write(neo4j.unit_of_work(timeout=WRITE_S)(work))

    def first(self, text: str, params: Mapping[str, Any], *, write: bool = True) -> dict[str, Any]:
        """The first row of an answer, by column; {} where there is none."""
        neo4j = require("neo4j")

        def work(transaction: Any) -> dict[str, Any]:
            record = next(iter(transaction.run(text, dict(params))), None)
            return {} if record is None else dict(record)

        with self._errors(), self.session(write=write) as session:
            execute = session.execute_write if write else session.execute_read
            found: dict[str, Any] = execute(neo4j.unit_of_work(timeout=WRITE_S)(work))
        return found

    def repeat(self, text: str, params: Mapping[str, Any]) -> None:
        """Run a statement that deletes $n rows at the most until nothing is left."""
        while self.first(text, {**params, "n": DELETED})["n"]:
            pass

    def ask(self, text: str, params: Mapping[str, Any]) -> Any:
        """The first value of the first row, or None; see neo4j.load.Ask."""
        return next(iter(self.first(text, params, write=False).values()), None)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what the driver raises into one sentence."""
        exceptions = require("neo4j").exceptions
        try:
            yield
        except (exceptions.Neo4jError, exceptions.DriverError, ValueError, TypeError, OSError) as error:
            raise meaning(error, self.location) from error


def _keep_quiet() -> None:
    """The driver warns of every retry, on the screen where nobody listens; what comes of it is said by the store."""
    log = logging.getLogger("neo4j")
    if not log.handlers:
        log.addHandler(logging.NullHandler())


def _unknown_names(summary: Any) -> list[str]:
    """Neo4j answers a query about a label or property that does not exist with nothing, and a notification."""
    notes = [note.status_description for note in summary.gql_status_objects if note.gql_status in _UNKNOWN]
    return [text.partition("`")[2].partition("`")[0] for text in notes]


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
