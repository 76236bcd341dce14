"""Mishaps with a Neo4j server: each is one sentence, and leaves nothing half done."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from csrms_dist.errors import DataError, StoreError
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.hierarchy.snapshot import equal
from graphstore.neo4j import driver
from graphstore.neo4j import load as neo4j_load
from graphstore.neo4j.store import LONGEST_ID, Neo4jStore
from graphstore.schema import SCHEMA_VERSION
from tests.contract.hierarchies import hierarchy, publication, reclustered
from tests.contract.neo4j_server import Connection, server, start

pytestmark = pytest.mark.neo4j


@pytest.fixture
def store(neo4j_server: Connection) -> Iterator[Neo4jStore]:
    neo4j_server.wipe()
    with neo4j_server.store() as store:
        yield store


def another() -> HierarchyGraph:
    """The instances and labels of `hierarchy()` in other patterns."""
    return reclustered(hierarchy(), hierarchy(2))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"password": "not this one"}, "refuses the login.*check NEO4J_USERNAME and NEO4J_PASSWORD"),
        ({"username": "nobody"}, "refuses the login"),
        ({"database": "elsewhere"}, "no such database.*check NEO4J_DATABASE"),
    ],
)
def test_a_refused_login_or_database(neo4j_server: Connection, changes: dict[str, str], words: str) -> None:
    with neo4j_server.store(**changes) as store:
        for call in (store.runs, lambda: store.publish(publication())):
            with pytest.raises(StoreError, match=words) as caught:
                call()
            assert "\n" not in str(caught.value)
            assert "not this one" not in str(caught.value)


def test_a_server_without_encryption(neo4j_server: Connection) -> None:
    with neo4j_server.store(uri=neo4j_server.uri.replace("bolt:", "bolt+s:")) as store:
        with pytest.raises(StoreError, match=r"no encrypted connection to .* on this machine use bolt://") as caught:
            store.runs()
        assert "\n" not in str(caught.value)


def test_a_graph_of_a_newer_version(neo4j_server: Connection, store: Neo4jStore) -> None:
    store.publish(publication())
    neo4j_server.run("MATCH (d:Dataset) SET d.schema_version = $v", v=SCHEMA_VERSION + 1)
    store.close()
    for call in (store.runs, store.live_run, lambda: store.publish(publication(run="b"))):
        with pytest.raises(StoreError, match=f"got schema version {SCHEMA_VERSION + 1}, .* upgrade this one"):
            call()
    assert neo4j_server.run("MATCH (r:Run) RETURN count(r) AS n") == [{"n": 1}]


def test_a_half_loaded_run_is_said_and_finished(
    neo4j_server: Connection, store: Neo4jStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = store.publish(publication())
    graph = another()
    given = publication(graph, "b", created_ms=5)
    real = driver.Connection.write
    written = 0

    def stops(self: driver.Connection, statements: Any) -> None:
        nonlocal written
        if any("COVERS" in text for text, _, _ in statements):
            raise KeyboardInterrupt
        written += 1
        real(self, statements)

    with monkeypatch.context() as patch:
        patch.setattr(driver.Connection, "write", stops)
        with pytest.raises(KeyboardInterrupt):
            store.publish(given)
    assert written
    assert [(info.key, info.status, info.live) for info in store.runs()] == [
        (given.run_key, "loading", False), (live, "ready", True),
    ]  # fmt: skip
    assert equal(store.export(live), hierarchy())
    for call in (store.export, store.go_live):
        with pytest.raises(StoreError, match="got status loading, expected ready; publish it again to finish it"):
            call(given.run_key)
    assert store.publish(given) == store.live_run() == given.run_key
    assert equal(store.export(given.run_key), graph)


def test_counts_that_are_wrong_keep_the_old_run_live(neo4j_server: Connection, store: Neo4jStore) -> None:
    live = store.publish(publication())
    given = publication(another(), "b", created_ms=5)
    neo4j_server.run("CREATE (:Pattern {key: 'stray', run: $run, idx: 99, size: 1})", run=given.run_key)
    with pytest.raises(StoreError, match=r"rows of Pattern in the database.* retire this one and publish it again"):
        store.publish(given)
    assert store.live_run() == live
    assert {info.status for info in store.runs()} == {"ready", "failed"}
    store.retire(given.run_key)
    assert store.publish(given) == given.run_key
    assert equal(store.export(given.run_key), given.hierarchy)


def stop(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_removal_that_stopped_goes_on(store: Neo4jStore, monkeypatch: pytest.MonkeyPatch) -> None:
    old = store.publish(publication())
    new = publication(another(), "b")
    store.publish(new)
    with monkeypatch.context() as patch:
        patch.setattr(driver.Connection, "repeat", stop)
        with pytest.raises(KeyboardInterrupt):
            store.retire(old)
    with pytest.raises(StoreError, match="got a run that is being removed"):
        store.publish(publication())
    store.retire(old)
    assert [info.key for info in store.runs()] == [new.run_key]
    assert store.publish(publication()) == old


def test_an_id_that_is_too_long_is_refused_before_anything_is_written(
    neo4j_server: Connection, store: Neo4jStore
) -> None:
    ids = ["x" * (LONGEST_ID + 1), *(str(n) for n in range(59))]
    with pytest.raises(DataError, match=f"got one of {LONGEST_ID + 1} bytes, expected at most {LONGEST_ID}"):
        store.publish(publication(ids=ids))
    assert neo4j_server.is_empty()
    longest = ["é" * (LONGEST_ID // 2), *ids[1:]]
    run = store.publish(publication(ids=longest))
    assert store.resolve_instance(longest[0], run)


def test_a_server_that_cannot_write_says_so_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    graph = hierarchy(9, n=8000, n_patterns=50, multi=True)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:  # as on a full disk, no file of the server grows beyond this
        resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 19, limits[1]))
        connection = start(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    given = publication(graph, "b", dataset="large")
    try:
        with connection.store() as store:
            small = store.publish(publication())
            for _ in range(2):
                with pytest.raises(StoreError, match=r"see the server's disk, and its log; then restart it") as caught:
                    store.publish(given)
                assert "\n" not in str(caught.value)
        assert server("stop", tmp_path).returncode == 0
        connection = start(tmp_path)
        with connection.store() as store:
            assert equal(store.export(small), hierarchy())
            assert equal(store.export(store.publish(given)), graph)
    finally:
        assert server("stop", tmp_path).returncode == 0


def test_many_units_and_small_transactions_give_the_same(store: Neo4jStore, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = hierarchy(9, n=500, multi=True)
    monkeypatch.setattr(neo4j_load, "UNIT", 7)
    assert equal(store.export(store.publish(publication(graph))), graph)


def test_two_loaders_of_one_run_share_the_work(neo4j_server: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    neo4j_server.wipe()
    monkeypatch.setattr(neo4j_load, "UNIT", 50)
    graph = hierarchy(9, n=4000, n_patterns=50, multi=True)
    with neo4j_server.store() as one, neo4j_server.store() as other, ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(store.publish, publication(graph)) for store in (one, other)]
        assert len({run.result() for run in runs}) == 1
        assert equal(one.export(runs[0].result()), graph)
        for kind, n in (("HAS_LABEL", graph.membership.nnz), ("COVERS", graph.counts.nnz), ("IN_PATTERN", 4000)):
            assert one.query(f"MATCH ()-[e:{kind}]->() RETURN count(e) AS n")["n"].to_pylist() == [n]
