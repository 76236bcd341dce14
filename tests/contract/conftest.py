"""The stores that the contract holds for: each of ENGINES, the second in a real Neo4j server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from graphstore.embedded.store import EmbeddedStore
from graphstore.store import GraphStore
from tests.contract.hierarchies import publication
from tests.contract.neo4j_server import Connection, server_for_tests

ENGINES = ["embedded", pytest.param("neo4j", marks=pytest.mark.neo4j)]


@pytest.fixture(scope="session")
def neo4j_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A Neo4j server whose database is empty when the tests begin, and may be emptied by each."""
    with server_for_tests(tmp_path_factory.mktemp("neo4j")) as connection:
        yield connection


@contextmanager
def _empty(request: pytest.FixtureRequest, folder: Path) -> Iterator[GraphStore]:
    if request.param == "embedded":
        with EmbeddedStore(folder / "graph") as store:
            yield store
        return
    connection: Connection = request.getfixturevalue("neo4j_server")
    connection.wipe()
    with connection.store() as store:
        yield store


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GraphStore]:
    """An empty store."""
    with _empty(request, tmp_path) as made:
        yield made


@pytest.fixture(scope="module", params=ENGINES)
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GraphStore]:
    """A store that holds one run, for tests that only read."""
    with _empty(request, tmp_path_factory.mktemp("filled")) as made:
        made.publish(publication())
        yield made
