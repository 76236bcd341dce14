"""A run as arrays: every figure is what plain loops over the rows give, and labels of the test split stay out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.errors import RunDirectoryError
from csrms_dist.hierarchy.look_alikes import look_alikes
from csrms_dist.interop.graph_arrays import (
    CLASS,
    COVERS,
    HAS_LABEL,
    IN_PATTERN,
    INSTANCE,
    LOOKS_LIKE,
    PATTERN,
    GraphArrays,
    Joined,
    Memberships,
    arrays_of,
)
from csrms_dist.run_contents import RunContents
from tests.unit.interop.made import CLASSES, SPLIT, VECTORS, labels_of, made_run, order

ROWS = order()
N_TRAIN = SPLIT.count("train")


@pytest.fixture(scope="module", params=[False, True], ids=["one label", "several labels"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, bool]:
    return made_run(tmp_path_factory.mktemp("run"), multi_label=request.param), request.param


def whole(found: GraphArrays, kind: str, name: str) -> np.ndarray:
    return found.nodes[kind][name].whole()


@pytest.mark.parametrize("told", [False, True])
def test_labels_are_those_of_the_rows_and_of_the_test_split_only_on_demand(
    made: tuple[RunDirectory, bool], *, told: bool
) -> None:
    run, several = made
    found = arrays_of(run, with_test_labels=told)
    expected = []
    for n in ROWS:
        shown = [] if SPLIT[n] == "test" and not told else labels_of(n, multi_label=several)
        expected.append([int(k in shown) for k in range(len(CLASSES))] if several else shown[0] if shown else -1)
    assert whole(found, INSTANCE, "y").tolist() == expected
    edges = {
        (int(a), int(b)) for a, b in zip(found.edges[HAS_LABEL].source, found.edges[HAS_LABEL].target, strict=True)
    }
    assert edges == {
        (place, k) for place, n in enumerate(ROWS) if SPLIT[n] == "train" for k in labels_of(n, multi_label=several)
    }


def test_every_node_has_its_row(made: tuple[RunDirectory, bool]) -> None:
    run, _ = made
    found, graph = arrays_of(run), RunContents(run).hierarchy
    assert found.sizes == {INSTANCE: len(ROWS), PATTERN: graph.n_patterns, CLASS: len(CLASSES)}
    assert np.array_equal(whole(found, INSTANCE, "x"), VECTORS[ROWS])
    assert whole(found, INSTANCE, "image").tolist() == [10 * n for n in ROWS]
    for word in ("train", "val", "test"):
        assert whole(found, INSTANCE, f"{word}_mask").tolist() == [SPLIT[n] == word for n in ROWS]
    assert found.text_lists() == {
        (INSTANCE, "id"): [f"image {n}" for n in ROWS],
        (CLASS, "name"): list(CLASSES),
    }
    prototypes = RunContents(run).clusters.prototypes
    assert prototypes.dtype == np.int8
    assert np.allclose(whole(found, PATTERN, "x"), prototypes / 127.0)
    assert whole(found, PATTERN, "size").tolist() == [int((graph.pattern == j).sum()) for j in range(graph.n_patterns)]


def test_edges_are_those_of_the_hierarchy_and_count_training_rows_alone(made: tuple[RunDirectory, bool]) -> None:
    run, several = made
    found, contents = arrays_of(run), RunContents(run)
    placed = np.concatenate([contents.clusters.pattern, contents.held_out_places.pattern])
    edges = found.edges[IN_PATTERN]
    assert edges.source.tolist() == list(range(len(ROWS)))
    assert edges.target.tolist() == placed.tolist()
    assert np.array_equal(edges.columns["score"][N_TRAIN:], contents.held_out_places.score)
    counts: dict[tuple[int, int], int] = {}
    for place, n in enumerate(ROWS[:N_TRAIN]):
        for k in labels_of(n, multi_label=several):
            counts[k, int(placed[place])] = counts.get((k, int(placed[place])), 0) + 1
    covers, role = found.edges[COVERS], contents.hierarchy.role.toarray()
    assert len(covers.source) == len(counts)
    for e, pair in enumerate(zip(covers.source.tolist(), covers.target.tolist(), strict=True)):
        size = int((placed[:N_TRAIN] == pair[1]).sum())
        assert covers.columns["count"][e] == counts[pair]
        assert covers.columns["share"][e] == np.float32(counts[pair] / size)
        assert covers.columns["role"][e] == role[pair[1], pair[0]]
    alike = look_alikes(contents.hierarchy)
    assert len(alike) > 0
    assert np.array_equal(found.edges[LOOKS_LIKE].target, alike.target)
    assert np.array_equal(found.edges[LOOKS_LIKE].columns["bound"], alike.bound)


def test_training_rows_alone_are_the_file_itself(made: tuple[RunDirectory, bool]) -> None:
    run, _ = made
    before = RunContents(run).vectors_file.read_bytes()
    vectors = arrays_of(run, held_out=False).nodes[INSTANCE]["x"].whole()
    assert isinstance(vectors, np.memmap)
    assert vectors.shape == (N_TRAIN, VECTORS.shape[1])
    vectors[0] = 7
    vectors.flush()
    assert RunContents(run).vectors_file.read_bytes() == before, "the file is never written to"


def test_a_snapshot_alone_is_the_same_without_features_and_names(made: tuple[RunDirectory, bool]) -> None:
    run, _ = made
    found, beside = arrays_of(RunContents(run).hierarchy), arrays_of(run, held_out=False)
    assert set(found.nodes[INSTANCE]) == set(beside.nodes[INSTANCE]) - {"x"}
    assert found.texts == {}
    for name in ("y", "image", "train_mask"):
        assert np.array_equal(whole(found, INSTANCE, name), whole(beside, INSTANCE, name))
    assert found.edges.keys() == beside.edges.keys()


def test_without_labels_there_are_no_classes(tmp_path: Path) -> None:
    found = arrays_of(made_run(tmp_path, labelled=False))
    assert set(found.nodes) == {INSTANCE, PATTERN}
    assert set(found.edges) == {IN_PATTERN}
    assert "y" not in found.nodes[INSTANCE]


def test_a_run_without_a_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"has no artefact 'graph'; run `csrms graph CONFIG`"):
        arrays_of(tmp_path)


@pytest.mark.parametrize("dtype", [np.float32, np.bool_, np.int64])
def test_joined_rows_are_those_of_the_concatenation(dtype: type) -> None:
    numbers = np.random.default_rng(0)
    for sizes in ([3], [4, 0, 2], [0, 5]):
        parts = tuple(numbers.integers(0, 9, (n, 2)).astype(dtype) for n in sizes)
        every, found = np.concatenate(parts), Joined(parts)
        assert found.shape == every.shape
        assert np.array_equal(found.whole(), every)
        rows = numbers.integers(0, len(every), 11)
        assert np.array_equal(found.take(rows), every[rows])
        assert found.take(rows).dtype == dtype


def test_some_memberships_are_rows_of_all(made: tuple[RunDirectory, bool]) -> None:
    found = Memberships(RunContents(made[0]).hierarchy.membership)
    rows = np.array([5, 0, 5])
    assert found.shape == (N_TRAIN, len(CLASSES))
    assert np.array_equal(found.take(rows), found.whole()[rows])
