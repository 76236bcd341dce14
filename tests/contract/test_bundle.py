"""A bundle holds what the embedded store holds, and a Neo4j server that imports it answers the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from csrms_dist.basics.progress import Progress
from csrms_dist.errors import RunDirectoryError, StoreError
from csrms_dist.hierarchy.snapshot import equal
from graphstore.embedded.store import EmbeddedStore
from graphstore.predictions import PREDICTED
from graphstore.schema import SCHEMA
from graphstore.store import Addition, GraphStore
from tests.contract.hierarchies import HOSTILE_NAMES, ask, hierarchy, hostile_names, publication, totals
from tests.contract.neo4j_server import Connection, server, variables


def fill(store: GraphStore) -> list[str]:
    """Two data sets, one with an addition and one with two runs, with names of every kind."""
    graph, names = hostile_names()
    plain = publication(hierarchy(3), "a", dataset="plain")
    store.publish(plain)
    image, label = f"{plain.dataset_key}/{plain.hierarchy.instance[0]:012d}", f"{plain.dataset_key}#1"
    answer = {"from": [image], "to": [label], "probability": np.ones(1, np.float32), "rank": [1]}
    store.add(Addition(plain.run_key, "predictions", "0" * 16, {PREDICTED: pa.table(answer)}))
    return [
        plain.run_key,
        store.publish(publication(graph, "b", dataset=HOSTILE_NAMES[2], **names)),
        store.publish(publication(graph, "c", dataset=HOSTILE_NAMES[2], **names)),
    ]


def test_a_bundle_is_whole_or_refused(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "graph") as store:
        with pytest.raises(StoreError, match="no graph is published"):
            store.write_bundle(tmp_path / "bundle")
        fill(store)
        with Progress("bundle") as progress:
            n_rows = store.write_bundle(tmp_path / "bundle", progress)
        assert n_rows == progress.done == sum(totals(store).values())
        headers = {path.name: path.read_text() for path in (tmp_path / "bundle").glob("*.header.csv")}
        assert headers["Class.LOOKS_LIKE.Class.header.csv"] == (
            ":START_ID(Class),:END_ID(Class),run:string,weight:double,reverse:double,lift:double,images:long,"
            "bound:double\n"
        )
        assert headers["Pattern.header.csv"].startswith("key:ID(Pattern),run:string,idx:long,")
        listed = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
        assert {item["header"] for item in listed["nodes"] + listed["relationships"]} == set(headers)
        with pytest.raises(RunDirectoryError, match="expected a new or empty folder"):
            store.write_bundle(tmp_path / "bundle")


@pytest.mark.neo4j
def test_an_imported_bundle_is_the_store(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "graph") as embedded:
        runs = fill(embedded)
        embedded.write_bundle(tmp_path / "bundle")
        done = server("import", tmp_path / "neo4j", str(tmp_path / "bundle"))
        assert done.returncode == 0, done.stderr
        connection = Connection.from_variables(variables(tmp_path / "neo4j" / "connection.env"))
        try:
            with connection.store() as store:
                made = connection.run("SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP' RETURN name")
                assert {row["name"] for row in made} == {text.split()[2] for text in SCHEMA.constraints()}
                assert totals(store) == totals(embedded)
                assert {info.key: info for info in store.runs()} == {info.key: info for info in embedded.runs()}
                for run in runs:
                    assert equal(store.export(run), embedded.export(run))
                    assert ask(store, "dominance", run=run) == ask(embedded, "dominance", run=run)
                    assert store.additions(run) == embedded.additions(run)
                assert fill(store) == runs  # what was imported is confirmed, not loaded again
                assert totals(store) == totals(embedded)
                graph = hierarchy(3)
                again = publication(graph, "another run of it", dataset="plain", vigilance=0.25)
                assert equal(store.export(store.publish(again)), graph)
                assert totals(store)["Instance.HAS_LABEL.Class"] == totals(embedded)["Instance.HAS_LABEL.Class"]
        finally:
            assert server("stop", tmp_path / "neo4j").returncode == 0
