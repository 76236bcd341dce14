"""The user's own vectors: features, cluster and, with labels, graph; asked by the user's own ids."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from csrms_dist.art.clustering import Clustering
from tests.end_to_end.harness import ROOM, csrms, digests

pytestmark = ROOM

N, D, K = 240, 6, 3
CONFIG = "vectors.yaml"


def vectors() -> tuple[list[str], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Three classes in six blobs of 40; in each blob a tenth of the rows is of the next class."""
    rng = np.random.default_rng(0)
    blob = np.arange(N) % 6
    label = np.where(np.arange(N) // 6 % 10 == 0, blob + 1, blob) % K
    rows = np.eye(6, D, dtype=np.float32)[blob] * 5 + rng.normal(size=(N, D)).astype(np.float32) * 0.3
    return [f"shop/{n}.jpg" for n in range(N)], rows, label


class Given:
    """A finished run over vectors, and the folder in which it was given."""

    def __init__(self, folder: Path, columns: dict[str, Any]) -> None:
        self.folder = folder
        pq.write_table(pa.table(columns), folder / "vectors.parquet")
        settings = {"name": "given", "features": {"path": "vectors.parquet"}, "cluster": {"n_patterns": 6}}
        (folder / CONFIG).write_text(json.dumps(settings))
        self.said = csrms("run", CONFIG, folder=folder)
        assert self.said.code == 0, self.said.err

    def ask(self, *arguments: str) -> list[dict[str, Any]]:
        said = csrms("query", *arguments, "--format", "json", folder=self.folder)
        assert said.code == 0, said.err
        rows: list[dict[str, Any]] = json.loads(said.out)
        return rows


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Given:
    ids, rows, label = vectors()
    names = np.array(["cat", "dog", "eel"])[label]
    columns = {"id": ids, "vector": pa.array(list(rows)), "label": label, "class_name": names}
    columns["uri"] = [f"s3://shop/{n}" if n % 2 else None for n in range(N)]
    return Given(tmp_path_factory.mktemp("labelled"), columns)


def test_labelled_vectors_become_a_graph(labelled: Given) -> None:
    assert labelled.said.done == ("features", "cluster", "graph")
    assert labelled.said.sentences == []
    assert "Graph database: " in labelled.said.out
    assert "csrms query confused_classes --run runs/given" in labelled.said.out
    assert not (labelled.folder / "runs" / "given" / "metrics.json").exists()


def test_classes_that_share_no_pattern_are_not_asked_about(tmp_path: Path) -> None:
    _, rows, _ = vectors()
    ids = list(map(str, range(N)))
    found = Given(tmp_path, {"id": ids, "vector": pa.array(list(rows)), "label": np.arange(N) % 6})
    _, none, _, _, *questions = found.said.out.splitlines()
    assert none == "  no two classes share a pattern"
    assert len(questions) > 1
    for question in questions:
        assert found.ask(*shlex.split(question)[2:]), question


def test_addresses_of_the_users_own_are_in_the_graph(labelled: Given) -> None:
    found = [labelled.ask("instance", "--param", f"id={vectors()[0][n]}")[0]["uri"] for n in (7, 8)]
    assert found == ["s3://shop/7", ""]


def test_classes_that_share_patterns_are_confused(labelled: Given) -> None:
    pairs = {(row["class"], row["other"]) for row in labelled.ask("confused_classes")}
    assert {frozenset(pair) for pair in pairs} == {
        frozenset(p) for p in (("cat", "dog"), ("dog", "eel"), ("cat", "eel"))
    }


def test_negatives_by_the_users_own_id(labelled: Given) -> None:
    ids, _, label = vectors()
    pattern = np.load(labelled.folder / "runs" / "given" / "cluster" / "pattern.npy")
    anchor = 7
    found = labelled.ask("r_is", "--param", f"id={ids[anchor]}")
    together = [n for n in range(N) if pattern[n] == pattern[anchor] and label[n] != label[anchor]]
    assert together
    assert [row["source_id"] for row in found] == [ids[n] for n in together]


def test_the_same_command_again_does_nothing(labelled: Given) -> None:
    said = csrms("run", CONFIG, folder=labelled.folder)
    assert (said.code, said.done) == (0, ())
    assert said.out == labelled.said.out


def test_the_same_vectors_in_another_place_are_the_same_inputs(labelled: Given, tmp_path: Path) -> None:
    """The file's content counts, not its place or its time."""
    for name in ("vectors.parquet", CONFIG):
        (tmp_path / name).write_bytes((labelled.folder / name).read_bytes())
    out = str(labelled.folder / "runs" / "given")
    assert csrms("features", CONFIG, "--out", out, folder=tmp_path).out.startswith("features: was done already")


@pytest.fixture(scope="module")
def multi_labelled(tmp_path_factory: pytest.TempPathFactory) -> Given:
    ids, rows, label = vectors()
    labels = [[int(k)] if n % 4 else [int(k), int(k + 1) % K] for n, k in enumerate(label)]
    columns = {"id": ids, "vector": pa.array(list(rows)), "labels": pa.array(labels)}
    return Given(tmp_path_factory.mktemp("multi_labelled"), columns)


def test_several_labels_a_row(multi_labelled: Given) -> None:
    assert multi_labelled.said.done == ("features", "cluster", "graph")
    assert len(multi_labelled.ask("instance", "--param", "id=shop/8.jpg")) == 2
    assert len(multi_labelled.ask("instance", "--param", "id=shop/9.jpg")) == 1
    # Who shares a label is no negative, whatever else either has.
    pattern = np.load(multi_labelled.folder / "runs" / "given" / "cluster" / "pattern.npy")
    labels = {
        row["id"]: set(row["labels"]) for row in pq.read_table(multi_labelled.folder / "vectors.parquet").to_pylist()
    }
    ids = list(labels)
    anchor = 7
    expected = [
        other
        for n, other in enumerate(ids)
        if pattern[n] == pattern[anchor] and not labels[other] & labels[ids[anchor]]
    ]
    found = multi_labelled.ask("r_is", "--param", f"id={ids[anchor]}")
    assert [row["source_id"] for row in found] == expected
    assert multi_labelled.ask("confused_classes")


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Given:
    ids, rows, _ = vectors()
    return Given(tmp_path_factory.mktemp("unlabelled"), {"id": ids, "vector": pa.array(list(rows))})


def test_without_labels_there_is_a_graph_of_patterns(unlabelled: Given) -> None:
    assert unlabelled.said.done == ("features", "cluster", "graph")
    assert unlabelled.said.sentences == []
    patterns, where, ask, *questions = unlabelled.said.out.splitlines()
    assert patterns.startswith("Patterns: 6 found by ART at vigilance ")
    assert patterns.endswith(" outliers; there are no labels, so nothing was trained")
    assert where.startswith("Graph database: ")
    assert ask == "Ask it, for example"
    assert "class" not in unlabelled.said.out
    for question in questions:  # what it says one may ask is answered
        assert unlabelled.ask(*shlex.split(question)[2:])
    assert sum(row["size"] for row in unlabelled.ask("patterns")) == N
    assert unlabelled.ask("dominance") == unlabelled.ask("confused_classes") == []
    for question in ("mistakes", "confusions"):
        said = csrms("query", question, "--run", "runs/given", folder=unlabelled.folder)
        assert said.code == 5
        assert said.err == (
            "csrms query: runs/given: got a run on given vectors, which trains nothing that could predict, expected "
            "one on labelled images; name another with --run\n"
        )
    (one,) = unlabelled.ask("instance", "--param", "id=shop/7.jpg")
    assert (one["split"], one["class"], one["dominated"]) == ("train", None, False)


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Given:
    """The labelled vectors behind as many of other splits, in which every third label is missing."""
    ids, rows, label = vectors()
    rng = np.random.default_rng(1)
    beside = rows[rng.permutation(N)] + rng.normal(size=rows.shape).astype(np.float32) * 0.1
    columns = {
        "id": [*ids, *(f"other/{n}.jpg" for n in range(N))],
        "vector": pa.array([*rows, *beside]),
        "label": pa.array([*label.tolist(), *(None if n % 3 == 2 else int(k) for n, k in enumerate(label))]),
        "split": ["train"] * N + [["val", "test"][n % 2] for n in range(N)],
        "class_name": [*np.array(["cat", "dog", "eel"])[label], *np.array(["cat", "dog", "eel"])[label]],
        "uri": [f"s3://shop/{n}" if n % 2 else None for n in range(N)] * 2,
    }
    return Given(tmp_path_factory.mktemp("divided"), columns)


def test_rows_of_other_splits_change_nothing_of_training(labelled: Given, divided: Given) -> None:
    def training(given: Given) -> dict[str, str]:
        found: dict[str, str] = {}
        for stage in ("features", "cluster", "graph"):
            inside = digests(given.folder / "runs" / "given" / stage)
            found |= {f"{stage}/{name}": digest for name, digest in inside.items() if not name.startswith("held_out/")}
        return found

    assert training(labelled) == training(divided)
    for query in ("dominance", "confused_classes", "mixed_patterns", "patterns", "largest_patterns"):
        assert labelled.ask(query) == divided.ask(query)


def test_rows_of_other_splits_lie_in_the_nearest_frozen_pattern(divided: Given) -> None:
    folder = divided.folder / "runs" / "given"
    rows = pq.read_table(divided.folder / "vectors.parquet").to_pylist()[N:]
    clusters = Clustering.load(folder / "cluster")
    pattern, score = clusters.predict(np.array([row["vector"] for row in rows], np.float32))
    members = {}
    for k in range(6):
        for row in divided.ask("members", "--param", f"pattern={k}", "--limit", "1000"):
            members[row["source_id"]] = (k, row["split"], row["score"], row["idx"])
    assert len(members) == 2 * N
    for n, row in enumerate(rows):
        split = row["split"] if row["label"] is not None else "unlabelled"
        assert members[row["id"]] == (pattern[n], split, pytest.approx(float(score[n])), N + n)
    (one,) = divided.ask("instance", "--param", "id=other/2.jpg")
    assert (one["split"], one["class"], one["difficulty"]) == ("unlabelled", None, 1.0)
    (one,) = divided.ask("instance", "--param", "id=other/1.jpg")
    assert (one["split"], one["class"]) == ("test", ["cat", "dog", "eel"][vectors()[2][1]])
    suspects = divided.ask("label_suspects", "--limit", "1000")
    assert {row["split"] for row in suspects} == {"train", "val", "test"}
