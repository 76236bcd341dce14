"""The child process that builds a graph file: where it starts, and its errors and death as its parent sees them."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from pathlib import Path

import pytest

from csrms_dist.errors import CsrmsError, RunDirectoryError, StoreError
from csrms_dist.hierarchy.snapshot import equal
from graphstore.embedded.store import EmbeddedStore
from graphstore.schema import SCHEMA, Column, NodeType
from graphstore.store import Publication
from tests.contract import hierarchies
from tests.unit.graphstore.making import GRAPH, publication


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


def test_a_builder_that_vanishes_is_not_taken_for_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impostor = tmp_path / "python"
    impostor.write_text("#!/bin/sh\nexit 0\n")
    impostor.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(impostor))
    with EmbeddedStore(tmp_path / "graph") as store:
        with pytest.raises(StoreError, match="publish again"):
            store.publish(publication())
        assert store.live_run() is None


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
