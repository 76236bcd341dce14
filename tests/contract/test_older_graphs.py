"""A graph that an older version published: listed, exported, retired; asked about when it is published again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from csrms_dist.errors import StoreError
from csrms_dist.hierarchy.snapshot import equal
from graphstore.embedded.store import EmbeddedStore
from graphstore.queries import named_queries, named_query
from graphstore.schema import SCHEMA, Column, EdgeType, Schema
from graphstore.store import Addition, GraphStore
from tests.contract.conftest import ENGINES
from tests.contract.hierarchies import ask, hierarchy, publication, reclustered, totals
from tests.contract.neo4j_server import Connection
from tests.contract.version_2 import VERSION_2

LATER = Schema(
    SCHEMA.nodes,
    tuple(
        EdgeType(edge.name, edge.source, edge.target, (*edge.columns, Column("later", "BOOL")))
        if edge.name in ("IN_PATTERN", "LOOKS_LIKE")
        else edge
        for edge in SCHEMA.edges
    ),
    version=SCHEMA.version + 1,
)
"""Types with columns that no stored run has."""

Opened = Callable[[Schema], GraphStore]


@pytest.fixture(params=ENGINES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """(schema) -> the one store, which is empty at first, opened with it."""
    stores: list[GraphStore] = []
    if request.param == "neo4j":
        connection: Connection = request.getfixturevalue("neo4j_server")
        connection.wipe()

    def open_with(schema: Schema) -> GraphStore:
        for store in stores:
            store.close()
        if request.param == "neo4j":
            stores.append(connection.store(schema=schema))
        else:
            stores.append(EmbeddedStore(tmp_path / "graph", schema))
        return stores[-1]

    yield open_with
    for store in stores:
        store.close()


def test_an_older_graph_is_listed_exported_and_retired_but_not_asked(opened: Opened) -> None:
    graphs = {"a": hierarchy(0), "b": reclustered(hierarchy(0), hierarchy(1))}
    old = opened(VERSION_2)
    first, second = (old.publish(publication(graphs[name], name, created_ms=ms)) for name, ms in (("a", 1), ("b", 2)))
    store = opened(SCHEMA)
    assert [(info.key, info.schema_version, info.status) for info in store.runs()] == [
        (first, 2, "ready"),
        (second, 2, "ready"),
    ]
    assert store.live_run() == second
    assert store.additions(first) == []
    assert equal(store.export(first), graphs["a"])
    for query in (named_query("dominance"), "MATCH (p:Pattern {run: $run}) RETURN p.idx AS idx"):
        with pytest.raises(StoreError, match=f"run {first}: got schema version 2, expected 3; .*csrms graph CONFIG"):
            store.query(query, {"run": first})
    with pytest.raises(StoreError, match="got schema version 2"):
        store.add(Addition(first, "notes", "0" * 16, {}))
    store.go_live(first)
    store.retire(second)
    assert [info.key for info in store.runs()] == [first]
    assert equal(store.export(first), graphs["a"])


def test_a_new_run_lies_beside_older_ones_and_a_repeated_one_takes_its_place(opened: Opened) -> None:
    graph, other = hierarchy(0), reclustered(hierarchy(0), hierarchy(1))
    old = opened(VERSION_2).publish(publication(graph, "a", created_ms=1))
    elsewhere = opened(VERSION_2).publish(publication(hierarchy(3), "z", dataset="plants", created_ms=1))
    store = opened(SCHEMA)
    new = store.publish(publication(other, "b", created_ms=2))
    assert ask(store, "dominance", run=new)
    assert equal(store.export(new), other)
    assert equal(store.export(old), graph)
    assert {info.key: info.schema_version for info in store.runs()} == {old: 2, elsewhere: 2, new: 3}
    assert store.publish(publication(graph, "a", created_ms=3)) == old == store.live_run("animals@01234567")
    assert {info.key: info.schema_version for info in store.runs()} == {old: 3, elsewhere: 2, new: 3}
    assert ask(store, "dominance", run=old)
    assert equal(store.export(old), graph)
    with pytest.raises(StoreError, match="got schema version 2"):
        ask(store, "moved_patterns", run=old, other=elsewhere)
    both = totals(store)
    assert both["Instance.IN_PATTERN.Pattern"] == 2 * graph.n_rows + hierarchy(3).n_rows
    assert both["Pattern"] == graph.n_patterns + other.n_patterns + hierarchy(3).n_patterns
    store.retire(new)
    assert {info.key for info in store.runs()} == {old, elsewhere}


def test_columns_that_an_older_run_lacks_do_no_harm(opened: Opened) -> None:
    graph = hierarchy(0)
    run = opened(SCHEMA).publish(publication(graph))
    opened(SCHEMA).add(Addition(run, "notes", "0" * 16, {}))
    store = opened(LATER)
    assert [(info.key, info.schema_version) for info in store.runs()] == [(run, SCHEMA.version)]
    assert equal(store.export(run), graph)
    assert [info.kind for info in store.additions(run)] == ["notes"]
    for query in named_queries().values():
        given = dict.fromkeys(query.parameters, "") | {"run": run}
        with pytest.raises(StoreError, match=f"got schema version {SCHEMA.version}, expected {LATER.version}"):
            store.query(query, given)
