"""What only the embedded store has: generation files, their sweeping and rebuilding, and its child process."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import pickle
import resource
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from csrms_dist.basics.progress import Progress
from csrms_dist.errors import CsrmsError, RunDirectoryError, StoreError
from csrms_dist.hierarchy.pattern_counts import build_hierarchy
from csrms_dist.hierarchy.snapshot import equal
from graphstore.embedded import store as embedded_store
from graphstore.embedded.store import EmbeddedStore
from graphstore.schema import SCHEMA, SCHEMA_VERSION, Column, EdgeType, NodeType
from graphstore.store import Publication, folder_name
from tests.contract import hierarchies

GRAPH = build_hierarchy(
    [0, 0, 1, 1], [0.5, 1, 0, 0.25], sparse.csr_array(np.eye(2, dtype=np.uint8)[[0, 0, 0, 1]]), [1, 2, 5, 7],
    dominance_threshold=0.6, n_positives=1, multi_label=False,
)  # fmt: skip


def publication(run: str = "a", **changes: Any) -> Publication:
    parts: dict[str, Any] = {
        "dataset": "d", "content_hash": "0" * 8, "class_names": ["cat", "dog"], "ids": list("wxyz"),
        "split": ["train"] * 4, "uris": [""] * 4, "hierarchy": GRAPH, "fingerprint": run * 16, "params": {},
        "vigilance": 1, "features_uri": "f", "prototypes_uri": "p", "created_ms": 3,
    }  # fmt: skip
    return Publication(**(parts | changes))


def pointer(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "current.json").read_text())
    return facts


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def test_the_newest_runs_are_kept_and_older_files_swept(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as store:
        keys = [store.publish(publication(run)) for run in "abcd"]
        assert [info.key for info in store.runs()] == keys[1:]
        assert names(tmp_path) == {"current.json", "graph.3.lbug", "graph.4.lbug", "tables"}
        assert names(tmp_path / "tables") == {folder_name(key) for key in keys[1:]}
        assert all(equal(store.export(key), GRAPH) for key in keys[1:])
        assert not (tmp_path / "graph.4.lbug").stat().st_mode & 0o222


def test_a_generation_holds_the_newest_runs_of_each_data_set(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as store:
        other = store.publish(publication("e", content_hash="1" * 8))
        keys = [store.publish(publication(run)) for run in "abcd"]
        assert [info.key for info in store.runs()] == [other, *keys[1:]]
        assert [info.live for info in store.runs()] == [True, False, False, True]
        assert equal(store.export(other), GRAPH)


def test_what_killed_publications_left_is_swept(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as store:
        store.publish(publication("a"))
        (tmp_path / ".build.killed").mkdir()
        (tmp_path / ".build.killed" / "graph.lbug").write_bytes(b"half")
        (tmp_path / ".current.json.123").write_text("{")
        (tmp_path / "graph.2.lbug").write_bytes(b"moved to its place, but the pointer was not switched")
        (tmp_path / "tables" / "of-a-killed-run").mkdir()
        store.publish(publication("b"))
        assert names(tmp_path) == {"current.json", "graph.1.lbug", "graph.2.lbug", "tables"}
        assert len(names(tmp_path / "tables")) == 2
        assert len(store.runs()) == 2


def test_an_open_reader_follows_the_pointer(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as writer, EmbeddedStore(tmp_path) as reader:
        first = writer.publish(publication("a"))
        assert reader.live_run() == first
        assert len(reader.runs()) == 1
        for run in "bcd":
            writer.publish(publication(run))
        assert reader.runs() == writer.runs()
        assert pickle.loads(pickle.dumps(reader)).runs() == writer.runs()  # noqa: S301


def test_a_second_publisher_is_refused(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path)
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="another process is publishing"):
            store.publish(publication())


@pytest.mark.parametrize("change", [{"engine": "0.1.0"}, {"schema_version": 0}])
def test_a_generation_of_another_version_is_built_again(tmp_path: Path, change: dict[str, Any]) -> None:
    with EmbeddedStore(tmp_path) as store:
        keys = [store.publish(publication(run)) for run in "ab"]
    before = pointer(tmp_path)
    (tmp_path / "current.json").write_text(json.dumps(before | change))
    with EmbeddedStore(tmp_path) as store:
        assert [info.key for info in store.runs()] == keys
        assert pointer(tmp_path) == before | {"number": 3}
        assert store.live_run() == keys[1]


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as store:
        store.publish(publication())
        (tmp_path / "current.json").write_text(json.dumps(pointer(tmp_path) | {"schema_version": SCHEMA_VERSION + 1}))
        for call in (store.runs, store.live_run, lambda: store.publish(publication("b"))):
            with pytest.raises(StoreError, match=f"got schema version {SCHEMA_VERSION + 1}, expected .* upgrade"):
                call()


def test_a_damaged_or_missing_file_is_built_again_by_publishing(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as store:
        run = store.publish(publication())
    for damage in (lambda path: path.unlink(), lambda path: (path.unlink(), path.write_bytes(b"not a graph" * 1000))):
        damage(tmp_path / f"graph.{pointer(tmp_path)['number']}.lbug")
        with EmbeddedStore(tmp_path) as store:
            with pytest.raises(StoreError, match=r"csrms graph CONFIG|publish the run again"):
                store.export(run)
            assert store.publish(publication()) == run
            assert equal(store.export(run), GRAPH)


def test_a_damaged_pointer_or_lost_tables_are_named(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as store:
        store.publish(publication())
        next((tmp_path / "tables").glob("*/Class.parquet")).unlink()
        with pytest.raises(StoreError, match="tables of run d@00000000:a"):
            store.publish(publication("b"))
        (tmp_path / "current.json").write_text("{}")
        with pytest.raises(StoreError, match="is damaged"):
            store.live_run()


def test_a_full_disk_leaves_what_was_published(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as store:
        run = store.publish(publication("a"))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            for size in (100, 100_000):  # too little for a table, and for the graph file
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
                with pytest.raises(RunDirectoryError, match="free some space"):
                    store.publish(publication("b"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert store.live_run() == run
        assert equal(store.export(run), GRAPH)
        assert list(tmp_path.glob(".build.*")) == []
        assert len(store.runs()) == 1


def test_too_little_memory_is_said_and_the_next_question_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = "MATCH (a:Instance), (b:Instance), (c:Instance), (d:Instance), (e:Instance), (f:Instance)"
    columns = [f"{one}.key AS {one}" for one in "abcdef"]
    with EmbeddedStore(tmp_path) as store:
        run = store.publish(hierarchies.publication())
        with monkeypatch.context() as patch:
            patch.setattr(embedded_store, "buffer_pool", lambda _: 16 << 20)
            with EmbeddedStore(tmp_path) as small:
                for _ in range(3):
                    with pytest.raises(StoreError, match="needs more memory than the store may use"):
                        small.query(f"{product} RETURN DISTINCT {', '.join(columns)}")
                    assert [info.key for info in small.runs()] == [run]
            patch.setattr(embedded_store, "buffer_pool", lambda _: 1 << 20)
            with pytest.raises(StoreError, match=r"on a larger machine, or to Neo4j \(NEO4J_URI\)"):
                store.publish(hierarchies.publication(run="b"))
        assert store.live_run() == run


def test_the_builder_starts_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = tmp_path / "it's a $(place) {x} *"
    (trap / "graphstore").mkdir(parents=True)
    (trap / "graphstore" / "__init__.py").write_text("raise RuntimeError('the wrong package')")
    monkeypatch.chdir(trap)
    monkeypatch.setenv("PYTHONPATH", str(trap))
    with EmbeddedStore("graph") as store:
        assert equal(store.export(store.publish(publication())), GRAPH)
    assert (trap / "graph" / "graph.1.lbug").exists()


def test_the_builders_error_is_one_sentence(tmp_path: Path) -> None:
    broken = SCHEMA.extended(nodes=(NodeType("Odd name", (Column("key", "STRING"),)),))
    with EmbeddedStore(tmp_path, broken) as store:
        with pytest.raises(StoreError, match="cannot be built: got 'Parser exception") as caught:
            store.publish(publication())
        assert "\n" not in str(caught.value)
        assert store.live_run() is None


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


def test_progress_counts_every_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with EmbeddedStore(tmp_path) as store, Progress("graph", unit="rows") as progress:
        store.publish(publication(), progress)
    assert progress.done == progress.total > 0
    assert "graph     done" in capsys.readouterr().err


def test_a_builder_that_vanishes_is_not_taken_for_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impostor = tmp_path / "python"
    impostor.write_text("#!/bin/sh\nexit 0\n")
    impostor.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(impostor))
    with EmbeddedStore(tmp_path / "graph") as store:
        with pytest.raises(StoreError, match="publish again"):
            store.publish(publication())
        assert store.live_run() is None


@pytest.mark.parametrize("width", [1, 2, 3, 100])
def test_a_run_is_read_back_range_by_range(tmp_path: Path, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphstore.read_back.RANGE", width)
    far = dataclasses.replace(GRAPH, instance=np.array([1, 2, 5, 10**11]))
    with EmbeddedStore(tmp_path) as store:
        for run, graph in (("a", GRAPH), ("b", far)):
            given = publication(run, hierarchy=graph, content_hash=run * 8)
            assert equal(store.export(store.publish(given)), graph)


def children() -> set[int]:
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        found.update(map(int, path.read_text().split()))
    return found


def publish_and_kill(store: EmbeddedStore, given: Publication, after: float | None) -> tuple[CsrmsError | None, float]:
    """Publish in a thread, kill the process that writes `after` seconds after its start; its error and its life."""
    failures: list[CsrmsError] = []

    def publish() -> None:
        try:
            store.publish(given)
        except CsrmsError as error:
            failures.append(error)

    before = children()
    thread = threading.Thread(target=publish)
    thread.start()
    while thread.is_alive() and not children() - before:
        time.sleep(0.002)
    started = time.monotonic()
    while thread.is_alive() and (children() - before):
        if after is not None and time.monotonic() - started >= after:
            for child in children() - before:
                os.kill(child, signal.SIGKILL)
            break
        time.sleep(0.002)
    life = time.monotonic() - started
    thread.join()
    return (failures[0] if failures else None), life


@pytest.mark.timeout(120)
def test_a_killed_builder_leaves_the_old_run_and_a_retry_completes(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "graph")
    graphs = [hierarchies.hierarchy(seed, n=20_000, n_patterns=100) for seed in range(2)]
    facts = [hierarchies.publication(graph, f"run {n}", content_hash=f"{n}" * 8) for n, graph in enumerate(graphs)]
    failure, life = publish_and_kill(store, facts[0], None)
    assert failure is None
    live, killed = facts[0].run_key, 0
    for moment in (0.0, 0.2, 0.4, 0.6, 0.8):
        failure, _ = publish_and_kill(store, facts[1], moment * life)
        if failure is None:  # on a machine that was slower the first time
            break
        killed += 1
        assert isinstance(failure, StoreError)
        assert "SIGKILL" in str(failure)
        assert store.live_run(facts[0].dataset_key) == live
        assert equal(store.export(live), graphs[0])
    assert killed >= 2
    assert store.publish(facts[1]) == store.live_run(facts[1].dataset_key) == facts[1].run_key
    assert equal(store.export(facts[1].run_key), graphs[1])
    assert list((tmp_path / "graph").glob(".build.*")) == []
