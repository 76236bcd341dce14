"""Additions to a stored run, on every store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from csrms_dist.errors import ConfigError, CsrmsError, DataError, StoreError
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.hierarchy.snapshot import equal
from csrms_dist.labels import label_lists
from graphstore.added_images import HAS_LABEL, IN_PATTERN, INSTANCE, image_rows, next_index
from graphstore.neo4j import driver
from graphstore.predictions import CONFUSED_WITH, KIND, PREDICTED, confused, predicted, stored_keys
from graphstore.queries import named_queries
from graphstore.store import Addition, GraphStore
from tests.contract.hierarchies import (
    HOSTILE_NAMES,
    ask,
    fit,
    hierarchy,
    hostile_names,
    publication,
    reclustered,
    totals,
)
from tests.contract.neo4j_server import Connection

FINGERPRINT = "0123456789abcdef" * 2
GRAPH = hierarchy()
LABELS = np.array([row[0] for row in label_lists(GRAPH.membership)])
RNG = np.random.default_rng(3)
ANSWERS = RNG.random((GRAPH.n_rows, 4)).astype(np.float32)


def rows_of(run: str, store: GraphStore, answers: Any = ANSWERS, k: int = 1) -> dict[str, pa.Table]:
    keys = stored_keys(store, run, [f"img-{i}" for i in GRAPH.instance], "train")
    assert all(keys)
    return {
        PREDICTED: predicted(run, keys, answers, k),
        CONFUSED_WITH: confused(run, LABELS, answers.argmax(1)),
    }


def predictions(run: str, store: GraphStore, digit: str = "0", ms: int = 1, **changes: Any) -> Addition:
    rows = changes.pop("rows", None) or rows_of(run, store, **changes)
    return Addition(run, KIND, digit * 32, rows, {"k": 1}, ms)


def images(run: str, start: int, n: int = 3, digit: str = "a", **changes: Any) -> Addition:
    parts: dict[str, Any] = {
        "idx": np.arange(start, start + n),
        "ids": [f"new-{i}" for i in range(n)],
        "uris": [f"new/{i}.png" for i in range(n)],
        "labels": [[i % 4] for i in range(n)],
        "pattern": np.arange(n) % 8,
        "fit": fit(n),
    }
    return Addition(run, "images", digit * 32, image_rows(run, **(parts | changes)))


def answers_of(store: GraphStore, run: str, graph: HierarchyGraph) -> dict[str, Any]:
    """What every named query that is not of additions says of a run's own images."""
    given = {"run": run, "other": run, "pattern": 0, "top": 1000, "a": "class 0", "b": "class 2", "class": "class 1"}
    given["instance"] = store.resolve_instance(f"img-{graph.instance[0]}", run)
    found: dict[str, Any] = {}
    for name, query in named_queries().items():
        if "addition" not in query.parameters:
            rows = ask(store, name, **{key: given[key] for key in query.parameters if key != "run"}, run=run)
            found[name] = [row for row in rows if row.get("split") != "added"]
    return found


def test_an_addition_is_stored_once_and_described(store: GraphStore) -> None:
    run = store.publish(publication())
    assert store.additions(run) == []
    given = predictions(run, store)
    assert store.add(given) == given.key == f"{run}:predictions:{'0' * 16}"
    (info,) = store.additions(run)
    assert (info.key, info.run, info.kind, info.status) == (given.key, run, "predictions", "ready")
    assert (info.fingerprint, info.created_ms, info.params) == ("0" * 32, 1, {"k": 1})
    before = totals(store)
    assert before[PREDICTED] == 60
    assert store.add(replace(given, created_ms=9, params={})) == given.key
    assert store.additions(run) == [info]
    assert totals(store) == before
    other = rows_of(run, store, 1 - ANSWERS)
    with pytest.raises(StoreError, match="an addition never changes"):
        store.add(replace(given, rows=other))
    assert totals(store) == before


def test_several_additions_of_a_kind_stand_side_by_side_and_the_newest_is_taken(store: GraphStore) -> None:
    run = store.publish(publication())
    old = store.add(predictions(run, store, "0", ms=5))
    new = store.add(predictions(run, store, "1", ms=7, answers=1 - ANSWERS))
    older = store.add(predictions(run, store, "2", ms=3, answers=ANSWERS[:, ::-1].copy()))
    assert [info.key for info in store.additions(run)] == [older, old, new]
    for addition, answers in ((old, ANSWERS), (new, 1 - ANSWERS), ("", 1 - ANSWERS)):
        check_answers(store, run, addition, answers)
    assert ask(store, "mistakes", run=run, addition=f"{run}:predictions:{'9' * 16}", top=9) == []


def check_answers(store: GraphStore, run: str, addition: str, answers: Any) -> None:
    """`mistakes` and `confusions` by plain loops."""
    wrong, pairs = [], {}
    for row, label in enumerate(LABELS):
        best = int(answers[row].argmax())
        if best != label:
            wrong.append((-float(answers[row, best]), int(GRAPH.instance[row]), f"class {label}", f"class {best}"))
            pairs[int(label), best] = pairs.get((int(label), best), 0) + 1
    found = ask(store, "mistakes", run=run, addition=addition, top=1000)
    assert [(-r["probability"], r["idx"], r["class"], r["predicted"]) for r in found] == sorted(wrong)
    assert {r["split"] for r in found} == {"train"}
    assert [r["source_id"] for r in found] == [f"img-{r['idx']}" for r in found]
    assert ask(store, "mistakes", run=run, addition=addition, top=2) == found[:2]
    rows = [
        {"class": f"class {a}", "other": f"class {b}", "n": n, "share": n / int((a == LABELS).sum())}
        for (a, b), n in pairs.items()
    ]
    rows.sort(key=lambda r: (-int(r["n"]), -float(r["share"]), r["class"], r["other"]))  # type: ignore[call-overload]
    assert ask(store, "confusions", run=run, addition=addition) == rows
    assert rows


def test_mistakes_of_several_labels_are_classes_that_are_none_of_them(store: GraphStore) -> None:
    graph = hierarchy(7, multi=True)
    run = store.publish(publication(graph))
    answers = np.random.default_rng(0).random((60, 4)).astype(np.float32)
    keys = stored_keys(store, run, [f"img-{i}" for i in graph.instance], "train")
    store.add(Addition(run, KIND, FINGERPRINT, {PREDICTED: predicted(run, keys, answers, 3)}))
    expected = [
        (-float(answers[row].max()), int(graph.instance[row]), f"class {labels[0]}", f"class {answers[row].argmax()}")
        for row, labels in enumerate(label_lists(graph.membership))
        if labels and answers[row].argmax() not in labels
    ]
    found = ask(store, "mistakes", run=run, addition="", top=1000)
    assert [(-r["probability"], r["idx"], r["class"], r["predicted"]) for r in found] == sorted(expected)
    assert totals(store)[PREDICTED] == 180
    assert ask(store, "confusions", run=run, addition="") == []


def test_added_images_are_found_and_nothing_of_the_run_changes(store: GraphStore) -> None:
    run = store.publish(publication())
    before, exported = answers_of(store, run, GRAPH), store.export(run)
    first = next_index(store, run)
    assert first == GRAPH.instance[-1] + 1
    store.add(images(run, first))
    assert answers_of(store, run, GRAPH) == before
    assert equal(store.export(run), exported)
    assert equal(exported, GRAPH)
    (info,) = store.runs()
    assert info.n_instances == 60
    assert n_instances(store) == 63
    assert next_index(store, run) == first + 3
    for n in range(3):
        (row,) = ask(store, "instance", run=run, instance=store.resolve_instance(f"new-{n}", run))
        assert (row["split"], row["uri"], row["class"], row["pattern"]) == ("added", f"new/{n}.png", f"class {n}", n)
    added = stored_keys(store, run, ["new-0", "nothing", "img-1", "new-2"], "added")
    assert added == [f"animals@01234567/{first:012d}", None, None, f"animals@01234567/{first + 2:012d}"]
    answers = np.eye(4, dtype=np.float32)[[3, 0, 2, 2]]
    store.add(predictions(run, store, rows={PREDICTED: predicted(run, added, answers)}))
    found = ask(store, "mistakes", run=run, addition="", top=9)
    assert [(r["source_id"], r["split"], r["class"], r["predicted"]) for r in found] == [
        ("new-0", "added", "class 0", "class 3")
    ]
    assert store.publish(publication()) == run  # confirmed, whatever was added
    assert n_instances(store) == 63
    assert len(store.additions(run)) == 2


def test_added_images_without_a_label_are_members_and_outliers_and_no_suspects(store: GraphStore) -> None:
    run = store.publish(publication())
    n = int(np.flatnonzero(GRAPH.dominated).size)
    ids = [f"new-{i}" for i in range(n)]
    parts = {"ids": ids, "uris": ids, "labels": [[]] * n, "pattern": np.flatnonzero(GRAPH.dominated), "fit": fit(n)}
    store.add(images(run, next_index(store, run), n, **parts))

    def added(name: str, **params: Any) -> set[str]:
        return {row["source_id"] for row in ask(store, name, run=run, top=1000, **params) if row["split"] == "added"}

    assert n > 1
    assert added("outliers") == set(ids)
    assert added("members", pattern=int(parts["pattern"][1])) == {"new-1"}
    assert added("label_suspects") == set()
    key = store.resolve_instance("new-0", run)
    assert ask(store, "r_is", run=run, instance=key) == ask(store, "r_id", run=run, instance=key) == []


def n_instances(store: GraphStore) -> int:
    (n,) = store.query("MATCH (d:Dataset) RETURN d.n_instances AS n")["n"].to_pylist()
    assert n == totals(store)["Instance"]
    return int(n)


def test_runs_after_images_joined_and_what_goes_with_a_run(store: GraphStore) -> None:
    run = store.publish(publication(GRAPH, "a"))
    plain = totals(store)
    start = next_index(store, run)
    store.add(images(run, start))
    store.add(predictions(run, store))
    other = reclustered(GRAPH, hierarchy(1))
    second = store.publish(publication(other, "b", created_ms=5))
    assert n_instances(store) == 63
    assert store.additions(second) == []
    assert equal(store.export(second), other)
    # the same images, one less, in patterns of the other run
    store.add(images(second, start, 2, pattern=np.array([3, 4])))
    assert n_instances(store) == 63
    store.retire(run)
    assert [info.kind for info in store.additions(second)] == ["images"]
    assert n_instances(store) == 62
    (row,) = ask(store, "instance", run=second, instance=store.resolve_instance("new-1", second))
    assert (row["pattern"], row["class"]) == (4, "class 1")
    with pytest.raises(ConfigError, match="'new-2'"):
        store.resolve_instance("new-2", second)
    assert totals(store)["Addition"] == 1
    assert totals(store)[PREDICTED] == 0
    with pytest.raises(StoreError, match=r"the run: got .* expected one of"):
        store.additions(run)
    again = store.publish(publication(GRAPH, "a"))
    assert again == run
    assert store.additions(run) == []  # they went with it
    store.retire(second)
    assert totals(store) == plain
    store.add(images(run, start))  # under the same key as before
    assert n_instances(store) == 63
    assert totals(store)["Instance.IN_PATTERN.Pattern"] == 63
    assert equal(store.export(run), GRAPH)


def without(table: str, column: str, rows: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    return {**rows, table: rows[table].drop_columns([column])}


def changed(table: str, column: str, value: Any, rows: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The rows with another value in the first row of a table."""
    listed = rows[table].to_pylist()
    listed[0][column] = value
    return {**rows, table: pa.Table.from_pylist(listed, schema=rows[table].schema)}


def twice(table: str, rows: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    return {**rows, table: pa.concat_tables([rows[table], rows[table].slice(0, 1)])}


D, FIRST = "animals@01234567", f"img-{GRAPH.instance[0]}"


REFUSED: list[tuple[Callable[[Addition], Addition], str]] = [
    (lambda a: replace(a, kind="Two words"), "kind of the addition: got 'Two words'"),
    (lambda a: replace(a, fingerprint="short"), "fingerprint of the addition"),
    (lambda a: replace(a, params={"x": float("nan")}), "params of the addition"),
    (lambda a: replace(a, rows={"Nothing": pa.table({})}), "rows of the addition: got 'Nothing'"),
    (lambda a: replace(a, rows={"Run": pa.table({})}), "rows of the addition: got 'Run'"),
    (lambda a: replace(a, rows={"Addition": pa.table({})}), "rows of the addition: got 'Addition'"),
    (lambda a: replace(a, rows=without(PREDICTED, "rank", a.rows)), "columns of Instance.PREDICTED.Class"),
    (lambda a: replace(a, rows=twice(PREDICTED, a.rows)), "Instance.PREDICTED.Class: got 1 rows too many"),
    (lambda a: replace(a, rows=changed(PREDICTED, "from", None, a.rows)), "PREDICTED.Class.from: got a null"),
    (lambda a: replace(a, rows=changed(PREDICTED, "from", "nobody", a.rows)), "PREDICTED.Class.from: got 'nobody'"),
    (lambda a: replace(a, rows=changed(PREDICTED, "to", f"{D}#4", a.rows)), f"PREDICTED.Class.to: got '{D}#4'"),
    (lambda a: replace(a, rows=changed(PREDICTED, "probability", float("nan"), a.rows)), "a value that is not fin"),
    (lambda a: replace(a, rows=twice(INSTANCE, a.rows)), "Instance: got 1 rows too many"),
    (lambda a: replace(a, rows=changed(INSTANCE, "split", "train", a.rows)), "Instance.split: got 'train'"),
    (lambda a: replace(a, rows=changed(INSTANCE, "dataset", "x", a.rows)), "Instance.dataset: got 'x'"),
    (lambda a: replace(a, rows=changed(INSTANCE, "idx", 999, a.rows)), "Instance.key: .* expected that of idx"),
    (lambda a: replace(a, rows=changed(INSTANCE, "source_id", "new-1", a.rows)), "source_id: got an id twice"),
    (lambda a: replace(a, rows=changed(INSTANCE, "source_id", FIRST, a.rows)), f"'{FIRST}', which is stored as"),
    (lambda a: replace(a, rows=changed(HAS_LABEL, "to", "nowhere", a.rows)), "HAS_LABEL.Class.to: got 'nowhere'"),
    (lambda a: replace(a, rows=changed(IN_PATTERN, "to", "p", a.rows)), "IN_PATTERN.Pattern.to: got 'p'"),
    (lambda a: replace(a, rows={**a.rows, IN_PATTERN: a.rows[IN_PATTERN].slice(1)}), "got 2 edges for 3 images"),
    (lambda a: replace(a, rows={HAS_LABEL: a.rows[HAS_LABEL]}), "HAS_LABEL.Class.from: got"),
    (lambda a: replace(a, run="no run"), "the run: got 'no run'"),
]  # fmt: skip


def test_what_may_not_be_stored_is_refused_before_anything_is_written(store: GraphStore) -> None:
    run = store.publish(publication())
    before = totals(store)
    given = images(run, next_index(store, run))
    given = replace(given, rows={**given.rows, **rows_of(run, store)})
    for change, words in REFUSED:
        with pytest.raises(CsrmsError, match=words):
            store.add(change(given))
    assert totals(store) == before
    assert store.additions(run) == []
    assert store.add(given) == given.key


def test_images_that_are_there_already_or_contradict_are_refused(store: GraphStore) -> None:
    run = store.publish(publication(GRAPH, "a"))
    start = next_index(store, run)
    used = [{"idx": np.array([int(GRAPH.instance[0])])}, {"idx": np.array([0])}]
    for changes, words in zip(used, ("which is 'img-", "Instance.idx: got 0, expected more than"), strict=True):
        with pytest.raises(DataError, match=words):
            store.add(images(run, start, 1, **changes))
    store.add(images(run, start))
    with pytest.raises(DataError, match="'new-0', which the run has already"):
        store.add(images(run, start, digit="b"))
    second = store.publish(publication(reclustered(GRAPH, hierarchy(1)), "b"))
    before = totals(store)
    for changes, words in (
        ({"ids": ["other-0", "other-1", "other-2"]}, "which is 'new-0', expected a free index"),
        ({"labels": [[1], [1], [2]]}, "other labels of the same images"),
        ({"labels": [[0], [1], []]}, "other labels of the same images"),
        ({"idx": np.arange(start + 7, start + 10)}, "'new-0', which is stored as"),
        ({"labels": [[0, 1], [1], [2]]}, "two labels of an image"),
    ):
        with pytest.raises(DataError, match=words):
            store.add(images(second, start, **changes))
    image = f"{D}/{start:012d}"
    with pytest.raises(
        DataError, match=f"PREDICTED.Class.from: got '{image}', expected the key of a Instance of the run"
    ):
        store.add(Addition(second, KIND, FINGERPRINT, {PREDICTED: predicted(second, [image], ANSWERS[:1])}))
    assert totals(store) == before


def test_a_run_whose_images_were_added_to_another_is_refused(store: GraphStore) -> None:
    first = store.publish(publication(GRAPH, "a"))
    start = int(GRAPH.instance[-1]) + 1
    store.add(images(first, start, 1))
    longer = replace(GRAPH, instance=np.concatenate([GRAPH.instance[:-1], [start]]))
    before = totals(store)
    with pytest.raises(DataError, match="Instance"):
        store.publish(publication(longer, "b", ids=[*(f"img-{i}" for i in GRAPH.instance[:-1]), "new-0"]))
    assert totals(store) == before
    assert store.live_run() == first


def test_names_of_all_kinds_come_back(store: GraphStore) -> None:
    graph, names = hostile_names()
    run = store.publish(publication(graph, **names))
    start, n = next_index(store, run), len(HOSTILE_NAMES)
    ids = [f"{name} added" for name in HOSTILE_NAMES]
    store.add(
        images(run, start, n, ids=ids, uris=HOSTILE_NAMES, labels=[[k] for k in range(n)], pattern=np.zeros(n, int))
    )
    for k, name in enumerate(ids):
        (row,) = ask(store, "instance", run=run, instance=store.resolve_instance(name, run))
        assert (row["source_id"], row["uri"], row["class"]) == (name, HOSTILE_NAMES[k], HOSTILE_NAMES[k])
    assert equal(store.export(run), graph)


@pytest.mark.neo4j
def test_a_half_loaded_addition_waits_and_goes_with_its_run(
    neo4j_server: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = driver.Connection.write, 0

    def stops(self: driver.Connection, statements: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        real(self, statements)

    neo4j_server.wipe()
    with neo4j_server.store() as store:
        run = store.publish(publication(GRAPH, "a"))
        other = store.publish(publication(reclustered(GRAPH, hierarchy(1)), "b"))
        before, start = totals(store), next_index(store, run)
        monkeypatch.setattr(driver.Connection, "write", stops)
        for transactions in range(1, 6):  # the node of the addition, the images, their labels, patterns, its edge
            left = transactions
            with pytest.raises(KeyboardInterrupt):
                store.add(images(run, start))
        left = 1 << 30
        assert [info.status for info in store.additions(run)] == ["loading"]
        assert equal(store.export(run), GRAPH)
        with pytest.raises(StoreError, match=f"got status loading, .* add it again to finish it, or retire {run}"):
            store.add(images(other, start))
        key = store.add(images(run, start))  # all of it, once
        assert [(info.key, info.status) for info in store.additions(run)] == [(key, "ready")]
        assert n_instances(store) == 63
        assert totals(store)[IN_PATTERN] - before[IN_PATTERN] == totals(store)[HAS_LABEL] - before[HAS_LABEL] == 3
        left = 2
        with pytest.raises(KeyboardInterrupt):
            store.add(images(run, start + 3, digit="c", ids=["more-0", "more-1", "more-2"]))
        left = 1 << 30
        store.retire(run)
        assert neo4j_server.run("MATCH (b:LoadBatch) WHERE b.of CONTAINS ':images:' RETURN count(b) AS n") == [{"n": 0}]
        assert n_instances(store) == 60
        assert store.add(images(other, start))
