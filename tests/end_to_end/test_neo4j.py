"""A run that publishes to a Neo4j server, and asks there what it asked the embedded engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.neo4j_server import Connection, server_for_tests
from tests.end_to_end.harness import CONFIG, ROOM, SMALL, Run, contents, csrms

pytestmark = [ROOM, pytest.mark.neo4j]


@pytest.fixture
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with server_for_tests(tmp_path_factory.mktemp("neo4j")) as connection:
        connection.wipe()
        yield connection


def test_a_run_moves_to_a_server(copied: Run, connection: Connection) -> None:
    def said(*arguments: str, **environment: str) -> Any:
        done = csrms(*arguments, folder=copied.folder, **environment)
        assert done.code == 0, done.err
        assert connection.password not in done.out + done.err
        return done

    def answers(**environment: str) -> list[Any]:
        names = ("confused_classes", "mixed_patterns", "outliers", "dominance")
        found = [said("query", name, "--format", "json", **environment).out for name in names]
        return [json.loads(text) for text in found]

    embedded, snapshot = answers(), contents(copied.path("graph") / "snapshot")
    there = connection.variables
    assert said("graph", CONFIG, *SMALL, **there).done == ("graph",)
    assert connection.run("MATCH (d:Dataset) RETURN d.n_instances AS n")[0]["n"] == len(
        json.loads(said("query", "--cypher", "MATCH (i:Instance) RETURN i.idx AS i", "--format", "json", **there).out)
    )
    assert answers(**there) == embedded
    assert {name: digest for name, (digest, _) in contents(copied.path("graph") / "snapshot").items()} == {
        name: digest for name, (digest, _) in snapshot.items()
    }
    assert said("run", CONFIG, *SMALL, **there).done == ("evaluate",)  # which adds its predictions there
    assert said("run", CONFIG, *SMALL, **there).done == ()
    (run,) = json.loads(said("runs", "--format", "json", **there).out)
    assert (run["live"], run["status"]) == (True, "ready")
    refused = csrms("runs", "--retire", run["run"], folder=copied.folder, **there)
    assert refused.code == 5
    assert "make another one live first" in refused.err
