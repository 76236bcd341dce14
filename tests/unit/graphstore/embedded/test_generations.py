"""Generation files: what is kept, swept and built again."""

from __future__ import annotations

import fcntl
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from csrms_dist.errors import ConfigError, StoreError
from csrms_dist.hierarchy.snapshot import equal
from graphstore.embedded.store import EmbeddedStore
from graphstore.schema import SCHEMA_VERSION
from graphstore.store import Addition, folder_name
from tests.unit.graphstore.making import GRAPH, publication


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


def notes(run: str, digit: str = "0") -> Addition:
    return Addition(run, "notes", digit * 16, {}, created_ms=int(digit))


def test_as_many_runs_are_kept_as_are_asked_for_with_their_additions(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path, keep_runs=2) as store:
        keys = [store.publish(publication(run)) for run in "ab"]
        added = [store.add(notes(keys[0])), store.add(notes(keys[1])), store.add(notes(keys[1], "1"))]
        assert len(names(tmp_path / "tables")) == 5
        store.go_live(keys[0])  # and yet the next publication makes its own live, and the oldest goes
        keys.append(store.publish(publication("c")))
        assert [(info.key, info.live) for info in store.runs()] == [(keys[1], False), (keys[2], True)]
        assert [info.key for info in store.additions(keys[1])] == added[1:]
        assert names(tmp_path / "tables") == {folder_name(key) for key in (*keys[1:], *added[1:])}
        store.publish(publication("b"))  # again: it becomes live with what was added to it
        assert [info.key for info in store.additions(keys[1])] == added[1:]
        assert pickle.loads(pickle.dumps(store)).keep_runs == 2  # noqa: S301
    with EmbeddedStore(tmp_path, keep_runs=1) as store:
        keys.append(store.publish(publication("d")))
        assert [info.key for info in store.runs()] == [keys[-1]]
    with pytest.raises(ConfigError, match="keep_runs: got 0, expected 1 or more"):
        EmbeddedStore(tmp_path, keep_runs=0)


def test_lost_tables_of_an_addition_are_named(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as store:
        added = notes(store.publish(publication()))
        store.add(added)
        (tmp_path / "tables" / folder_name(added.key) / "Addition.parquet").unlink()
        with pytest.raises(StoreError, match=f"tables of addition {added.key}"):
            store.publish(publication("b"))


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
