"""The contract of every graph store."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from csrms_dist.basics.progress import Progress
from csrms_dist.errors import ConfigError, DataError, StoreError
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.hierarchy.look_alikes import look_alikes
from csrms_dist.hierarchy.pattern_counts import pattern_shares
from csrms_dist.hierarchy.snapshot import equal
from csrms_dist.labels import LabelSpace, label_lists
from graphstore.checks import check_publication
from graphstore.embedded.store import EmbeddedStore
from graphstore.neo4j.store import Neo4jStore
from graphstore.queries import named_queries
from graphstore.read_back import cached_snapshot
from graphstore.schema import SCHEMA_VERSION
from graphstore.store import GraphStore, HeldOut, dataset_of, is_truncated
from tests.contract.hierarchies import (
    HOSTILE_NAMES,
    ask,
    held_out,
    hierarchy,
    hostile_names,
    publication,
    reclustered,
    totals,
    without_classes,
)

# -- publishing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("multi", [False, True])
def test_export_equals_what_was_published(store: GraphStore, multi: bool) -> None:
    graph = hierarchy(3, multi=multi)
    run = store.publish(publication(graph))
    assert equal(store.export(run), graph)


def test_a_pattern_may_be_one_image_and_a_class_may_have_none(store: GraphStore) -> None:
    graph = hierarchy(4, n=9, n_classes=6, n_patterns=9)
    assert equal(store.export(store.publish(publication(graph))), graph)


def test_an_empty_store_says_so(store: GraphStore) -> None:
    assert isinstance(store, GraphStore)
    assert store.runs() == []
    assert store.live_run() is None
    with pytest.raises(StoreError, match="no graph is published"):
        store.query("MATCH (n:Run) RETURN n.key AS key")
    with pytest.raises(StoreError, match="none published"):
        store.export("nothing")


def test_a_run_is_described_as_it_was_published(store: GraphStore) -> None:
    given = publication()
    run = store.publish(given, Progress("graph", unit="rows"))
    assert run == given.run_key == f"animals@01234567:{given.fingerprint[:16]}"
    (info,) = store.runs()
    assert dataclasses.asdict(info) == {
        "key": run,
        "dataset": "animals",
        "dataset_key": "animals@01234567",
        "status": "ready",
        "live": True,
        "created_ms": 1_700_000_000_000,
        "params": {"vigilance": 0.5, "name": "é", "list": [1, 2]},
        "vigilance": 0.75,
        "dominance_threshold": 0.6,
        "features_uri": "features",
        "prototypes_uri": "prototypes",
        "n_instances": 60,
        "n_patterns": 8,
        "n_classes": 4,
        "multi_label": False,
        "schema_version": SCHEMA_VERSION,
    }


def test_a_second_run_lies_beside_the_first_and_becomes_live(store: GraphStore) -> None:
    graphs = {"a": hierarchy(0), "b": reclustered(hierarchy(0), hierarchy(1), dominance_threshold=0.5)}
    first = store.publish(publication(graphs["a"], "a"))
    assert store.live_run() == first
    second = store.publish(publication(graphs["b"], "b", created_ms=5))
    assert store.live_run() == second
    assert {(info.key, info.live) for info in store.runs()} == {(first, False), (second, True)}
    assert equal(store.export(first), graphs["a"])
    assert equal(store.export(second), graphs["b"])
    assert store.query("MATCH (i:Instance) RETURN count(*) AS n")["n"].to_pylist() == [60]
    assert store.publish(publication(graphs["a"], "a")) == first
    assert store.live_run() == first
    assert equal(store.export(second), graphs["b"])


def test_runs_may_hold_different_instances_of_one_dataset(store: GraphStore) -> None:
    whole = hierarchy(5)
    ids = [f"img-{i}" for i in whole.instance]
    half = build_hierarchy(
        np.zeros(30, int), np.ones(30), whole.membership[:30], whole.instance[:30],
        dominance_threshold=0.6, n_positives=3, multi_label=False,
    )  # fmt: skip
    first = store.publish(publication(half, "half", ids=ids[:30], uris=["old"] * 30))
    second = store.publish(publication(whole, "whole", ids=ids))
    assert equal(store.export(first), half)
    assert equal(store.export(second), whole)
    assert store.query("MATCH (d:Dataset) RETURN d.n_instances AS n")["n"].to_pylist() == [60]
    assert ask(store, "instance", run=first, instance=store.resolve_instance(ids[0], first))[0]["uri"] == "images/" + (
        f"{whole.instance[0]}.png"
    )


def test_a_repeated_publication_changes_nothing(store: GraphStore) -> None:
    run = store.publish(publication())
    before = store.query("MATCH (a)-[e]->(b) RETURN count(*) AS n")["n"].to_pylist()
    assert store.publish(publication(created_ms=7, params={"other": 1})) == run
    assert [info.created_ms for info in store.runs()] == [1_700_000_000_000]
    assert store.query("MATCH (a)-[e]->(b) RETURN count(*) AS n")["n"].to_pylist() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"hierarchy": hierarchy(1)},
        {"ids": [f"other-{n}" for n in range(60)], "uris": [""] * 60},
        {"class_names": ["class 1", "class 0", "class 2", "class 3"]},
    ],
    ids=["labels", "ids", "class names"],
)
def test_a_run_that_contradicts_another_of_its_data_set_is_refused(store: GraphStore, changes: dict[str, Any]) -> None:
    first = store.publish(publication(hierarchy(0)))
    before = totals(store)
    with pytest.raises(DataError, match=r"Class|Instance"):
        store.publish(publication(**({"hierarchy": hierarchy(0)} | changes), run="b"))
    assert store.live_run() == first
    assert [info.key for info in store.runs()] == [first]
    assert equal(store.export(first), hierarchy(0))
    assert totals(store) == before
    assert ask(store, "dominance", run=first)[0]["class"] == "class 0"


def test_one_fingerprint_cannot_stand_for_two_runs(store: GraphStore) -> None:
    run = store.publish(publication(hierarchy(0)))
    with pytest.raises(StoreError, match="a stored run never changes"):
        store.publish(publication(hierarchy(1)))
    assert equal(store.export(run), hierarchy(0))


def changed(**fields: Any) -> HierarchyGraph:
    return dataclasses.replace(hierarchy(), **fields)


def counts_plus_one() -> Any:
    counts = hierarchy().counts.copy()
    counts.data[0] += 1
    return counts


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ids": ["same"] * 60}, "'same' twice"),
        ({"ids": ["a"]}, "ids of the publication: got 1 values, expected 60"),
        ({"class_names": ["x", "x", "y", "z"]}, "'x' twice"),
        ({"split": ["train"] * 59 + ["val"]}, "got 'val', expected 'train' alone"),
        ({"uris": []}, "uris"),
        ({"fingerprint": "short"}, "fingerprint"),
        ({"content_hash": "../../etc"}, "content_hash"),
        ({"dataset": "lone \ud800 surrogate"}, "UTF-8"),
        ({"params": {"x": float("nan")}}, "params"),
        ({"vigilance": float("inf")}, "vigilance"),
        ({"extra": {"Nothing": pa.table({})}}, "'Nothing'"),
        ({"hierarchy": changed(score=np.full(60, np.nan, np.float32))}, "hierarchy.score"),
        ({"hierarchy": changed(instance=np.arange(60)[::-1])}, "hierarchy.instance"),
        ({"hierarchy": changed(pattern=np.zeros(60, np.int32))}, "hierarchy.pattern"),
        ({"hierarchy": changed(counts=counts_plus_one())}, "the hierarchy"),
        ({"hierarchy": changed(dominance_threshold=0.1)}, "hierarchy.role"),
        ({"hierarchy": changed(difficulty=np.zeros(60, np.float32))}, "the hierarchy"),
    ],
)
def test_a_bad_publication_is_refused_before_anything_is_written(
    store: GraphStore, tmp_path: Path, request: pytest.FixtureRequest, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        store.publish(publication(**changes))
    assert store.runs() == []
    assert list(tmp_path.iterdir()) == []
    if isinstance(store, Neo4jStore):
        assert request.getfixturevalue("neo4j_server").is_empty()


# -- the other splits --------------------------------------------------------------------------------------------------

COUNTED = (
    "MATCH (p:Pattern)-[e:COVERS]->(c:Class) "
    "RETURN p.key AS pattern, c.key AS class, e.n AS n, e.share AS share, e.role AS role ORDER BY pattern, class",
    "MATCH (a:Class)-[e:LOOKS_LIKE]->(b:Class) "
    "RETURN a.key AS one, b.key AS other, e.weight AS weight ORDER BY one, other",
    "MATCH (p:Pattern) RETURN p.key AS key, p.size AS size, p.dominated AS dominated, p.top_share AS top ORDER BY key",
    "MATCH (i:Instance {split: 'train'})-[e:IN_PATTERN]->(p:Pattern) "
    "RETURN i.key AS key, p.key AS pattern, e.score AS score, e.difficulty AS difficulty ORDER BY key",
)
"""What is counted in training instances alone."""


def permuted(others: HeldOut, seed: int = 1) -> HeldOut:
    """The same rows with each other's labels."""
    labelled = np.flatnonzero(np.diff(others.membership.indptr))
    rows = np.arange(len(others))
    rows[labelled] = np.random.default_rng(seed).permutation(labelled)
    return dataclasses.replace(others, membership=others.membership[rows])


@pytest.mark.parametrize("multi", [False, True])
def test_what_is_counted_does_not_know_the_other_splits(store: GraphStore, multi: bool) -> None:
    graph = hierarchy(3, multi=multi)
    others = held_out(graph)
    told = {}
    for name, beside in (("without", None), ("with", others), ("with other labels", permuted(others))):
        # Each is a data set of its own, as another test set is: the content's hash covers all splits.
        run = store.publish(publication(graph, dataset=name, held_out=beside))
        assert equal(store.export(run), graph)
        own = [[row for row in store.query(text).to_pylist() if str(row).count(run.split(":")[0])] for text in COUNTED]
        told[name] = [str(rows).replace(name, "") for rows in own]
        assert all(own)
    assert told["with"] == told["without"] == told["with other labels"]


def test_instances_of_all_splits_are_known(store: GraphStore) -> None:
    graph = hierarchy(3)
    others = held_out(graph)
    run = store.publish(publication(graph, held_out=others))
    dataset = dataset_of(run)
    assert [info.n_instances for info in store.runs()] == [graph.n_rows]
    assert store.query("MATCH (d:Dataset) RETURN d.n_instances AS n")["n"].to_pylist() == [graph.n_rows + len(others)]
    shares = pattern_shares(graph.counts, graph.sizes).toarray()
    for row, name in enumerate(others.ids):
        key = store.resolve_instance(name, run)
        assert key == f"{dataset}/{others.instance[row]:012d}"
        (found,) = ask(store, "instance", run=run, instance=key)
        labels = label_lists(others.membership)[row]
        share = shares[others.pattern[row], labels[0]] if labels else None
        assert (found["split"], found["uri"], found["pattern"]) == (
            others.split[row],
            others.uris[row],
            others.pattern[row],
        )
        assert found["class"] == (f"class {labels[0]}" if labels else None)
        assert (found["share"] is None) == (share is None)
        assert found["share"] == (None if share is None else pytest.approx(share))
        assert found["score"] == pytest.approx(float(others.score[row]))
        assert found["difficulty"] == pytest.approx(1 - (share or 0.0), abs=1e-6)
    assert {word: list(others.split).count(word) for word in ("val", "test", "unlabelled")} == {
        row["split"]: row["n"]
        for row in store.query("MATCH (i:Instance) RETURN i.split AS split, count(*) AS n").to_pylist()
        if row["split"] != "train"
    }


def test_a_run_may_know_more_held_out_instances_than_another(store: GraphStore) -> None:
    graph = hierarchy(3)
    few, many = held_out(graph, m=6), held_out(graph, 1)
    many = dataclasses.replace(many, membership=many.membership)
    first = store.publish(publication(graph, "few", held_out=dataclasses.replace(
        few, membership=many.membership[:6], split=list(many.split)[:6]
    )))  # fmt: skip
    second = store.publish(publication(graph, "many", held_out=many))
    assert equal(store.export(first), graph)
    assert equal(store.export(second), graph)
    assert store.query("MATCH (d:Dataset) RETURN d.n_instances AS n")["n"].to_pylist() == [graph.n_rows + len(many)]
    before = totals(store)
    store.go_live(first)
    store.retire(second)
    left = totals(store)
    assert before["Instance.IN_PATTERN.Pattern"] - left["Instance.IN_PATTERN.Pattern"] == graph.n_rows + len(many)


def with_label(others: HeldOut, row: int) -> HeldOut:
    """With the label of the next class in one row."""
    lists: list[Any] = label_lists(others.membership)
    lists[row] = [(k + 1) % 4 for k in lists[row]]
    space = LabelSpace(tuple("abcd"), True)
    return dataclasses.replace(others, membership=space.membership(lists))


@pytest.mark.parametrize(
    "change",
    [
        lambda others: with_label(others, 3),
        lambda others: dataclasses.replace(others, split=["test", *list(others.split)[1:]]),
        lambda others: dataclasses.replace(others, ids=["other", *list(others.ids)[1:]]),
    ],
    ids=["labels", "split", "ids"],
)
def test_a_run_that_contradicts_another_in_its_held_out_instances_is_refused(
    store: GraphStore, change: Callable[[HeldOut], HeldOut]
) -> None:
    graph = hierarchy(3)
    others = held_out(graph)
    first = store.publish(publication(graph, held_out=others))
    before = totals(store)
    with pytest.raises(DataError, match=r"Instance"):
        store.publish(publication(graph, "b", held_out=change(others)))
    assert (store.live_run(), totals(store)) == (first, before)


def test_one_fingerprint_cannot_stand_for_two_placements(store: GraphStore) -> None:
    graph = hierarchy(3)
    run = store.publish(publication(graph, held_out=held_out(graph)))
    assert store.publish(publication(graph, held_out=held_out(graph))) == run
    for other in (None, held_out(graph, 1), permuted(held_out(graph))):
        with pytest.raises(StoreError, match="a stored run never changes"):
            store.publish(publication(graph, held_out=other))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"instance": np.arange(24)[::-1]}, "held_out.instance"),
        ({"instance": hierarchy().instance[:24]}, "a training instance"),
        ({"pattern": np.full(24, 8, np.int32)}, "held_out.pattern: got a pattern out of range, expected 0..7"),
        ({"score": np.full(24, np.inf, np.float32)}, "held_out.score"),
        ({"score": np.zeros(23, np.float32)}, "held_out.score: got 23 values, expected 24"),
        ({"split": ["val"] * 23 + ["train"]}, "held_out.split: got 'train', expected one of val, test, unlabelled"),
        ({"split": ["unlabelled"] * 24}, "a label of a row of the split unlabelled"),
        ({"ids": [f"img-{hierarchy().instance[0]}", *map(str, range(23))]}, "twice"),
        ({"ids": ["a"]}, "held_out.ids: got 1 values"),
        ({"uris": [None] * 24}, "got nothing, expected text"),
        ({"membership": LabelSpace(tuple("abc")).membership([None] * 24)}, "ones for the 4 classes"),
        ({"membership": LabelSpace(tuple("abcd"), True).membership([[0, 1], [0], None] * 8)}, "at most one in a row"),
    ],
)
def test_bad_held_out_instances_are_refused_before_anything_is_written(changes: dict[str, Any], words: str) -> None:
    graph = hierarchy()
    with pytest.raises(DataError, match=words):
        check_publication(publication(graph, held_out=dataclasses.replace(held_out(graph), **changes)))


def test_a_run_without_classes_is_a_graph_of_patterns(store: GraphStore) -> None:
    graph = without_classes(hierarchy(3))
    others = held_out(graph, m=5)
    run = store.publish(publication(graph, held_out=others))
    assert equal(store.export(run), graph)
    (info,) = store.runs()
    assert (info.n_classes, info.n_instances, info.n_patterns) == (0, graph.n_rows, graph.n_patterns)
    sizes = [row["size"] for row in ask(store, "patterns", run=run)]
    assert sizes == sorted(graph.sizes.tolist(), reverse=True)
    assert len(ask(store, "outliers", run=run, top=1000)) == graph.n_rows + len(others)
    key = store.resolve_instance(f"img-{graph.instance[0]}", run)
    (found,) = ask(store, "instance", run=run, instance=key)
    assert (found["class"], found["dominated"], found["split"]) == (None, False, "train")
    given = {"run": run, "instance": key, "pattern": 0, "top": 5, "a": "x", "b": "y", "class": "x", "other": run}
    given["addition"] = ""
    answering = {"instance", "members", "outliers", "patterns", "runs", "moved_patterns", "r_is_pairs", "r_mc_pairs"}
    for name, query in named_queries().items():
        rows = store.query(query, {parameter: given[parameter] for parameter in query.parameters}).to_pylist()
        assert bool(rows) == (name in answering), name
        if name.endswith("s_pairs") or name == "r_mc_pairs":
            assert rows == [{"patterns": 0, "pairs": 0}]


# -- several data sets and runs ----------------------------------------------------------------------------------------


def several(store: GraphStore) -> dict[str, HierarchyGraph]:
    """Two data sets with two runs each, by run key; the newest are live."""
    graphs = {}
    for dataset in ("cats", "dogs"):
        for run, seed in (("a", 10), ("b", 11)):
            graph = reclustered(hierarchy(10), hierarchy(seed))
            graphs[store.publish(publication(graph, f"{dataset} {run}", dataset=dataset, created_ms=seed))] = graph
    return graphs


def test_data_sets_lie_side_by_side(store: GraphStore) -> None:
    graphs = several(store)
    assert {info.key for info in store.runs()} == set(graphs)
    for key, graph in graphs.items():
        assert equal(store.export(key), graph)
    keys = list(graphs)
    assert store.live_run("cats@01234567") == keys[1]
    assert store.live_run("dogs@01234567") == keys[3]
    assert store.live_run("birds@01234567") is None
    with pytest.raises(StoreError, match="got 2 data sets, expected one of cats@01234567, dogs@01234567"):
        store.live_run()
    assert store.resolve_instance("img-1", keys[0]).startswith("cats@01234567/")
    assert store.resolve_instance("img-1", keys[3]).startswith("dogs@01234567/")


def test_going_back_and_retiring(store: GraphStore) -> None:
    graphs = several(store)
    old, new, *others = graphs
    store.go_live(old)
    assert store.live_run("cats@01234567") == old
    assert store.live_run("dogs@01234567") == others[1]
    with pytest.raises(StoreError, match="make another one live first"):
        store.retire(old)
    before = totals(store)
    store.retire(new)
    assert {info.key for info in store.runs()} == {old, *others}
    gone = graphs[new]
    left = totals(store)
    assert before["Pattern"] - left["Pattern"] == gone.n_patterns
    assert before["Instance.IN_PATTERN.Pattern"] - left["Instance.IN_PATTERN.Pattern"] == gone.n_rows
    assert before["Pattern.COVERS.Class"] - left["Pattern.COVERS.Class"] == gone.counts.nnz
    assert before["Class.LOOKS_LIKE.Class"] - left["Class.LOOKS_LIKE.Class"] == len(look_alikes(gone))
    assert {name: left[name] for name in ("Dataset", "Class", "Instance", "Instance.HAS_LABEL.Class")} == {
        name: before[name] for name in ("Dataset", "Class", "Instance", "Instance.HAS_LABEL.Class")
    }
    for key in (old, *others):
        assert equal(store.export(key), graphs[key])
    for call in (store.retire, store.go_live, store.export):
        with pytest.raises(StoreError, match=r"the run: got .* expected one of"):
            call(new)
    again = publication(gone, "cats b", dataset="cats", created_ms=11)
    assert store.publish(again) == new
    assert totals(store) == before
    assert store.live_run("cats@01234567") == new


def test_a_snapshot_is_exported_once(store: GraphStore, tmp_path_factory: pytest.TempPathFactory) -> None:
    graph, cache = hierarchy(12, multi=True), tmp_path_factory.mktemp("cache")
    run = store.publish(publication(graph))
    first = cached_snapshot(store, run, cache)
    assert equal(first, graph)
    assert not first.score.flags.writeable
    store.close()
    with EmbeddedStore(cache / "no store") as other:  # what is cached needs no database
        assert equal(cached_snapshot(other, run, cache), graph)
        with pytest.raises(StoreError, match="none published"):
            cached_snapshot(other, f"{run[:-1]}x", cache)


# -- queries ---------------------------------------------------------------------------------------------------------


def test_names_come_back_as_they_were_given(store: GraphStore) -> None:
    graph, names = hostile_names()
    for dataset in HOSTILE_NAMES[:3]:
        run = store.publish(publication(graph, dataset, dataset=dataset, **names))
        assert dataset in [info.dataset for info in store.runs()]
        assert equal(store.export(run), graph)
    assert [r["class"] for r in ask(store, "dominance", run=run)] == HOSTILE_NAMES
    for row, name in enumerate(names["ids"]):
        (found,) = ask(store, "instance", run=run, instance=store.resolve_instance(name, run))
        assert (found["source_id"], found["uri"]) == (name, name)
        assert found["class"] == HOSTILE_NAMES[label_lists(graph.membership)[row][0]]
    for name in HOSTILE_NAMES:
        text = "MATCH (c:Class {name: $name, dataset: $dataset}) RETURN c.idx AS idx"
        table = store.query(text, {"name": name, "dataset": dataset_of(run)})
        assert table["idx"].to_pylist() == [HOSTILE_NAMES.index(name)]


@pytest.mark.parametrize(
    "text",
    [
        "CREATE (:Class {key: 'x'})",
        "MATCH (n:Class) SET n.name = 'x'",
        "MATCH (n:Class) DETACH DELETE n",
        "MATCH (n:Class) /* harmless */ DeLeTe n",
        "MERGE (n:Class {key: 'x'}) RETURN n.key",
        "DROP TABLE LOOKS_LIKE",
        "COPY (MATCH (n:Class) RETURN n.key) TO 'leak.parquet'",
        "EXPORT DATABASE 'leak'",
        "LOAD FROM 'secret.csv' RETURN *",
        "MATCH (n:Class) LOAD FROM 'secret.csv' RETURN *",
        "MATCH (n:Class) WHERE n.idx > 1. LOAD FROM 'secret.csv' RETURN *",
        "CALL timeout=0",
        "CHECKPOINT",
        "BEGIN TRANSACTION",
        "INSTALL httpfs",
    ],
)
def test_users_cannot_write_or_leave_the_graph(filled: GraphStore, text: str) -> None:
    with pytest.raises(StoreError, match="read-only"):
        filled.query(text)
    left = filled.query("MATCH (c:Class) RETURN c.name AS name ORDER BY name")
    assert left["name"].to_pylist() == [f"class {k}" for k in range(4)]


@pytest.mark.parametrize(
    ("text", "params", "words"),
    [
        ("MATCH (n:Class) RETRUN n.key", {}, "syntax error"),
        ("MATCH (n:Class RETURN n.key", {}, "syntax error"),
        ("MATCH (n:Class {name: 'it\\'s'}) RETURN n.key", {}, "syntax error.*pass such text as a parameter"),
        ("MATCH (n:Class {name: 'open}) RETURN n.key", {}, "syntax error"),
        ("", {}, "no text"),
        ("// nothing", {}, "no text"),
        ("RETURN 1 AS a; RETURN 2 AS b", {}, "one statement"),
        ("MATCH (n:Klass) RETURN n.key", {}, "something that is not there"),
        ("MATCH (n:Class) RETURN n.colour", {}, "something that is not there"),
        ("MATCH (n:Class {name: $name}) RETURN n.key", {}, r"parameter \$name of the query: got no value"),
        ("MATCH (n:Class {name: $name}) RETURN n.key", {"name": "x", "nome": 1}, r"unknown parameter \$nome"),
        ("MATCH (n:Class) RETURN n", {}, "a whole node"),
        ("MATCH (:Class)-[e:LOOKS_LIKE]->(:Class) RETURN e", {}, "a whole rel"),
        ("MATCH (n:Class) RETURN {a: n} AS map", {}, "a whole node"),
        ("RETURN 1 AS a, 2 AS a", {}, "one name"),
        ("RETURN 1 / 0 AS x", {}, "cannot be answered"),
    ],
)
def test_a_bad_query_gives_one_clear_sentence(
    filled: GraphStore, text: str, params: dict[str, Any], words: str
) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        filled.query(text, params)
    assert "\n" not in str(caught.value)


def test_dates_and_maps_come_back(filled: GraphStore) -> None:
    text = "RETURN date('2020-01-31') AS day, [date('2020-02-01')] AS days, {a: 1, day: date('2020-02-02')} AS map"
    (row,) = filled.query(text).to_pylist()
    assert row == {"day": date(2020, 1, 31), "days": [date(2020, 2, 1)], "map": {"a": 1, "day": date(2020, 2, 2)}}


def test_a_long_query_is_stopped(filled: GraphStore) -> None:
    text = (
        "MATCH (a:Instance), (b:Instance), (c:Instance), (d:Instance), (e:Instance) "
        "RETURN sum(a.idx * b.idx + c.idx * d.idx + e.idx) AS n"
    )
    started = time.monotonic()
    with pytest.raises(StoreError, match="ran too long"):
        filled.query(text, timeout_s=0.3)
    assert time.monotonic() - started < 10
    assert filled.query("RETURN 1 AS n")["n"].to_pylist() == [1]


def test_long_answers_are_cut_and_say_so(filled: GraphStore) -> None:
    text = "MATCH (i:Instance) RETURN i.idx AS idx ORDER BY idx"
    cut, whole = filled.query(text, limit=7), filled.query(text, limit=60)
    assert (cut.num_rows, is_truncated(cut)) == (7, True)
    assert (whole.num_rows, is_truncated(whole)) == (60, False)
    assert cut["idx"].to_pylist() == whole["idx"].to_pylist()[:7]
    for wrong in ({"limit": 0}, {"timeout_s": 0}):
        with pytest.raises(StoreError, match="more than 0"):
            filled.query(text, **wrong)  # type: ignore[arg-type]


def test_answers_are_plain_values(filled: GraphStore) -> None:
    row = filled.query(
        "MATCH (i:Instance)-[e:IN_PATTERN]->(p:Pattern) WHERE i.idx IN $some "
        "RETURN sum(i.idx) AS total, avg(e.score) AS mean, min(i.source_id) AS first, collect(p.dominated) AS flags, "
        "count(*) AS n, max(e.score) > 2 AS never",
        {"some": np.arange(1000)},
    ).to_pylist()[0]
    assert {name: type(value) for name, value in row.items()} == {
        "total": int, "mean": float, "first": str, "flags": list, "n": int, "never": bool,
    }  # fmt: skip


def test_an_unknown_instance_or_run_is_named(filled: GraphStore) -> None:
    with pytest.raises(ConfigError, match=r"'nobody', expected an id of animals@\w+, such as 'img-"):
        filled.resolve_instance("nobody", filled.live_run() or "")
    with pytest.raises(StoreError, match="'nothing', expected one of animals@01234567"):
        filled.export("nothing")
    assert ask(filled, "instance", run="nothing", instance="nobody") == []
