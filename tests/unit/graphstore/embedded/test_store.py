"""The store in a folder: readers and writers side by side, memory, progress, and types of a sister method."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from csrms_dist.basics.progress import Progress
from csrms_dist.errors import DataError, StoreError
from csrms_dist.hierarchy.snapshot import equal
from graphstore.embedded.store import EmbeddedStore
from graphstore.schema import SCHEMA, Column, EdgeType, NodeType
from graphstore.store import Addition
from tests.contract import hierarchies
from tests.unit.graphstore.making import GRAPH, publication


def test_an_open_reader_follows_the_pointer(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as writer, EmbeddedStore(tmp_path) as reader:
        first = writer.publish(publication("a"))
        assert reader.live_run() == first
        assert len(reader.runs()) == 1
        for run in "bcd":
            writer.publish(publication(run))
        assert reader.runs() == writer.runs()
        assert pickle.loads(pickle.dumps(reader)).runs() == writer.runs()  # noqa: S301


def test_too_little_memory_is_said_and_the_next_question_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = "MATCH (a:Instance), (b:Instance), (c:Instance), (d:Instance), (e:Instance), (f:Instance)"
    columns = [f"{one}.key AS {one}" for one in "abcdef"]
    with EmbeddedStore(tmp_path) as store:
        run = store.publish(hierarchies.publication())
        with monkeypatch.context() as patch:
            patch.setattr("graphstore.embedded.store.buffer_pool", lambda _: 16 << 20)
            with EmbeddedStore(tmp_path) as small:
                for _ in range(3):
                    with pytest.raises(StoreError, match="needs more memory than the store may use"):
                        small.query(f"{product} RETURN DISTINCT {', '.join(columns)}")
                    assert [info.key for info in small.runs()] == [run]
            patch.setattr("graphstore.embedded.builder.buffer_pool", lambda _: 1 << 20)
            with pytest.raises(StoreError, match=r"on a larger machine, or to Neo4j \(NEO4J_URI\)"):
                store.publish(hierarchies.publication(run="b"))
        assert store.live_run() == run


def test_a_sister_methods_types_are_stored_and_queried(tmp_path: Path) -> None:
    tag = NodeType("Tag", (Column("key", "STRING"), Column("weight", "DOUBLE")))
    schema = SCHEMA.extended(nodes=(tag,), edges=(EdgeType("TAGGED", "Instance", "Tag", (Column("n", "INT64"),)),))
    extra = {
        "Tag": pa.table({"key": ["sunny"], "weight": [0.5]}),
        "Instance.TAGGED.Tag": pa.table({"from": ["d@00000000/000000000001"], "to": ["sunny"], "n": [3]}),
    }
    with EmbeddedStore(tmp_path, schema) as store:
        store.publish(publication(extra=extra))
        text = "MATCH (i:Instance)-[e:TAGGED]->(t:Tag) RETURN i.source_id AS id, t.weight AS weight, e.n AS n"
        assert store.query(text).to_pylist() == [{"id": "w", "weight": 0.5, "n": 3}]


def test_a_sister_methods_additions_are_stored_and_queried(tmp_path: Path) -> None:
    text, run_columns = Column("text", "STRING"), (Column("addition", "STRING"), Column("run", "STRING"))
    schema = SCHEMA.extended(
        nodes=(NodeType("Remark", (Column("key", "STRING"), *run_columns, text)),),
        edges=(EdgeType("ABOUT", "Remark", "Pattern"),),
    )
    rows = {
        "Remark": pa.table({"key": ["r1"], "text": ["odd"]}),
        "Remark.ABOUT.Pattern": pa.table({"from": ["r1"], "to": ["d@00000000:aaaaaaaaaaaaaaaa#1"]}),
    }
    with EmbeddedStore(tmp_path, schema) as store:
        run = store.publish(publication())
        key = store.add(Addition(run, "remarks", "0" * 16, rows))
        query = (
            "MATCH (a:Addition {kind: 'remarks'}), (r:Remark)-[:ABOUT]->(p:Pattern {run: $run}) "
            "WHERE r.addition = a.key "
            "RETURN r.text AS text, p.idx AS pattern, r.run = $run AS own"
        )
        assert store.query(query, {"run": run}).to_pylist() == [{"text": "odd", "pattern": 1, "own": True}]
        with pytest.raises(DataError, match=r"ABOUT\.Pattern\.to: got 'p'"):
            ends = pa.table({"from": ["r1"], "to": ["p"]})
            store.add(Addition(run, "remarks", "1" * 16, {"Remark.ABOUT.Pattern": ends}))
        with pytest.raises(DataError, match="not those of additions"):
            store.publish(publication("b", extra={"Remark": rows["Remark"]}))
        assert [info.key for info in store.additions(run)] == [key]
    with pytest.raises(ValueError, match="needs a column `run` beside it"):
        SCHEMA.extended(nodes=(NodeType("Loose", (Column("key", "STRING"), run_columns[0])),))


def test_progress_counts_every_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with EmbeddedStore(tmp_path) as store, Progress("graph", unit="rows") as progress:
        store.publish(publication(), progress)
    assert progress.done == progress.total > 0
    assert "graph     done" in capsys.readouterr().err


@pytest.mark.parametrize("width", [1, 2, 3, 100])
def test_a_run_is_read_back_range_by_range(tmp_path: Path, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphstore.read_back.RANGE", width)
    far = dataclasses.replace(GRAPH, instance=np.array([1, 2, 5, 10**11]))
    with EmbeddedStore(tmp_path) as store:
        for run, graph in (("a", GRAPH), ("b", far)):
            given = publication(run, hierarchy=graph, content_hash=run * 8)
            assert equal(store.export(store.publish(given)), graph)
