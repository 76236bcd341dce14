"""A real Neo4j server for tests: that of NEO4J_URI, else the one that `make neo4j` left running, else their own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import neo4j
import pytest

from graphstore.neo4j.store import Neo4jStore

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "deploy" / "neo4j" / "server.py"
DEFAULT_HOME = ROOT / ".neo4j"
NO_JAVA = 7


@dataclass(frozen=True)
class Connection:
    """uri, username, password, database; home: of a server that the tests started, else None."""

    uri: str
    username: str
    password: str = field(repr=False)
    database: str
    home: Path | None = None

    @classmethod
    def from_variables(cls, values: Mapping[str, str], home: Path | None = None) -> Connection:
        return cls(
            values["NEO4J_URI"],
            values.get("NEO4J_USERNAME", "neo4j"),
            values["NEO4J_PASSWORD"],
            values.get("NEO4J_DATABASE", "neo4j"),
            home,
        )

    @property
    def variables(self) -> dict[str, str]:
        return {
            "NEO4J_URI": self.uri,
            "NEO4J_USERNAME": self.username,
            "NEO4J_PASSWORD": self.password,
            "NEO4J_DATABASE": self.database,
        }

    def store(self, **changes: Any) -> Neo4jStore:
        parts = {"uri": self.uri, "username": self.username, "password": self.password, "database": self.database}
        return Neo4jStore(**(parts | changes))

    def run(self, text: str, **params: Any) -> list[dict[str, Any]]:
        """The rows of an answer, past the store."""
        with (
            neo4j.GraphDatabase.driver(self.uri, auth=(self.username, self.password)) as driver,
            driver.session(database=self.database) as session,
        ):
            return [dict(record) for record in session.run(text, params)]

    def wipe(self) -> None:
        for what in ("MATCH ()-[x]->()", "MATCH (x)"):
            while self.run(f"{what} WITH x LIMIT 20000 DELETE x RETURN count(*) AS n")[0]["n"]:
                pass

    def is_empty(self) -> bool:
        return self.run("MATCH (n) RETURN count(n) AS n") == [{"n": 0}]


def server(command: str, home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`python deploy/neo4j/server.py COMMAND --home HOME`."""
    return subprocess.run(
        [sys.executable, str(SERVER), command, "--home", str(home), *options],
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip


def variables(path: Path) -> dict[str, str]:
    """What `source PATH` would set."""
    words = [shlex.split(line) for line in path.read_text().splitlines() if line.startswith("export ")]
    return dict(word.split("=", 1) for _, word in words)


def start(home: Path) -> Connection:
    """A running server below `home`; without Java or Maven the tests fail in CI and are skipped elsewhere."""
    done = server("start", home)
    if done.returncode == NO_JAVA and os.environ.get("CI", "").lower() in ("", "0", "false"):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return Connection.from_variables(variables(Path(done.stdout.strip().splitlines()[-1].split()[-1])), home)


@contextmanager
def server_for_tests(folder: Path) -> Iterator[Connection]:
    given = {name.removeprefix("TEST_"): v for name, v in os.environ.items() if name.startswith("TEST_NEO4J_") and v}
    if given.get("NEO4J_URI"):
        connection = Connection.from_variables(given)
        assert connection.is_empty(), "tests delete all that the database of NEO4J_URI holds: give them an empty one"
        yield connection
        connection.wipe()
        return
    left = DEFAULT_HOME / "connection.env"
    if left.exists() and server("status", DEFAULT_HOME).returncode == 0:
        connection = Connection.from_variables(variables(left))
        if connection.is_empty():
            yield connection
            connection.wipe()
            return
    connection = start(folder)
    try:
        yield connection
    finally:
        assert server("stop", folder).returncode == 0
