"""Candidates as an artefact: bytes, ranges, refusals."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from csrms_dist.basics.progress import Progress
from csrms_dist.errors import ConfigError, DataError, RunDirectoryError
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import LabelSpace, label_lists
from csrms_dist.sampling import (
    Candidates,
    build_candidates,
    distances,
    load_candidates,
    negative_candidates,
    positive_candidates,
    save_candidates,
    write,
    write_candidates,
)
from csrms_dist.sampling.settings import SamplingSettings


def small(n: int = 300, multi_label: bool = False) -> tuple[HierarchyGraph, np.ndarray]:
    """Three classes over nine patterns, every tenth image twice."""
    rng = np.random.default_rng(7)
    pattern = np.concatenate([np.arange(9), rng.integers(0, 9, n - 9)])
    labels = [[int(k) % 3] if not multi_label else sorted({int(k) % 3, int(rng.integers(0, 3))}) for k in pattern]
    features = (rng.normal(size=(9, 6))[pattern] + 0.7 * rng.normal(size=(n, 6))).astype(np.float32)
    features[10::10] = features[9:-1:10]
    graph = build_hierarchy(
        pattern,
        np.ones(n),
        LabelSpace(tuple("abc"), multi_label).membership(labels),
        np.arange(n),
        dominance_threshold=0.6,
        n_positives=4,
        multi_label=multi_label,
    )
    return graph, features


SETTINGS = [
    SamplingSettings(n_positives=4, n_negatives=4, pool=8),
    SamplingSettings("dominant_far", "nearest_dominated", n_positives=3, n_negatives=5, pool=8),
]


def same(a: Candidates, b: Candidates) -> bool:
    names = ("indptr", "neighbours", "priority", "weight")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def test_saved_bytes_are_a_function_of_the_candidates(tmp_path: Path) -> None:
    graph, features = small()
    for name in ("one", "two"):
        save_candidates(tmp_path / name, build_candidates(graph, features, SETTINGS[0]))
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.npy"))
    assert len(files) == 6
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    loaded = load_candidates(tmp_path / "one")
    for edge_type, some in build_candidates(graph, features, SETTINGS[0]).items():
        assert same(loaded[edge_type], some)
        assert isinstance(loaded[edge_type].neighbours, np.memmap)
        assert loaded[edge_type].priority.dtype == np.uint8


def test_candidates_without_edges_are_saved_and_loaded(tmp_path: Path) -> None:
    empty = Candidates(np.zeros(4, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint8))
    empty.save(tmp_path / "positive")
    assert same(Candidates.load(tmp_path / "positive"), empty)


def test_what_is_not_all_there_is_refused(tmp_path: Path) -> None:
    graph, features = small(40)
    save_candidates(tmp_path, build_candidates(graph, features, SETTINGS[0]))
    (tmp_path / "negative" / "priority.npy").unlink()
    with pytest.raises(
        RunDirectoryError,
        match=r"got 'No such file or directory', expected the .npy files of an edge type; write them anew",
    ):
        load_candidates(tmp_path)
    np.save(tmp_path / "positive" / "priority.npy", np.zeros(1, dtype=np.uint8))
    with pytest.raises(RunDirectoryError, match="different lengths"):
        load_candidates(tmp_path, ["positive"])
    shutil.rmtree(tmp_path / "positive")
    said = r"got the edge types negative, expected positive, negative; ask for edge_types=\('negative',\)"
    with pytest.raises(RunDirectoryError, match=said):
        load_candidates(tmp_path)
    shutil.rmtree(tmp_path / "negative")
    with pytest.raises(RunDirectoryError, match="got the edge types none, expected positive; write them anew"):
        load_candidates(tmp_path, ["positive"])


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: s.positives)
@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("n_parts", [1, 2, 7])
def test_any_split_of_the_rows_gives_the_same(settings: SamplingSettings, multi_label: bool, n_parts: int) -> None:
    graph, features = small(multi_label=multi_label)
    whole = build_candidates(graph, features, settings)
    cuts = np.array_split(np.arange(graph.n_rows), n_parts)
    parts = [build_candidates(graph, features, settings, rows) for rows in cuts]
    for edge_type, some in whole.items():
        assert same(Candidates.concatenate([part[edge_type] for part in parts]), some)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: s.positives)
@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("anchors", [1, 17, 300, 1000])
def test_written_range_by_range_are_the_same_bytes(
    settings: SamplingSettings, multi_label: bool, anchors: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, features = small(multi_label=multi_label)
    save_candidates(tmp_path / "whole", build_candidates(graph, features, settings))
    monkeypatch.setattr(write, "_RANGE", anchors)
    with Progress("candidates") as progress:
        write_candidates(tmp_path / "ranges", graph, features, settings, progress)
    assert progress.done == progress.total == 2 * graph.n_rows
    written = {path.relative_to(tmp_path / "ranges"): path for path in (tmp_path / "ranges").rglob("*.*")}
    assert len(written) == 6 + multi_label
    for name, path in written.items():
        assert path.read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("edge_type", ["positive", "negative"])
def test_an_edge_type_that_is_not_wanted_is_not_made(edge_type: str, tmp_path: Path) -> None:
    graph, features = small()
    with Progress("candidates") as progress:
        write_candidates(tmp_path, graph, features, SETTINGS[0], progress, edge_types=[edge_type])
    assert progress.done == progress.total == graph.n_rows
    assert [path.name for path in tmp_path.iterdir()] == [edge_type]
    assert same(
        load_candidates(tmp_path, [edge_type])[edge_type], build_candidates(graph, features, SETTINGS[0])[edge_type]
    )


def test_a_class_without_partners_is_written_too(tmp_path: Path) -> None:
    graph = build_hierarchy(
        np.zeros(2, np.int64), np.ones(2), LabelSpace(("a", "b")).membership([0, 1]), np.arange(2),
        dominance_threshold=0.6, n_positives=1, multi_label=False,
    )  # fmt: skip
    write_candidates(tmp_path, graph, np.eye(2, dtype=np.float32), SETTINGS[0])
    loaded = load_candidates(tmp_path)
    assert loaded["positive"].neighbours.tolist() == []
    assert loaded["negative"].neighbours.tolist() == [1, 0]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: s.positives)
def test_positives_of_several_labels_weigh_their_jaccard_similarity(settings: SamplingSettings, tmp_path: Path) -> None:
    graph, features = small(multi_label=True)
    save_candidates(tmp_path, build_candidates(graph, features, settings))
    loaded = load_candidates(tmp_path)
    assert loaded["negative"].weight is None
    some, labels = loaded["positive"], [set(row) for row in label_lists(graph.membership)]
    assert some.weight is not None
    assert some.weight.dtype == np.float32
    expected = [
        len(labels[anchor] & labels[row]) / len(labels[anchor] | labels[row])
        for anchor in range(graph.n_rows)
        for row in some.of(anchor).tolist()
    ]
    assert some.weight.tolist() == np.array(expected, np.float32).tolist()
    assert {0.5, 1.0} <= set(some.weight.tolist())
    assert some.weight.min() > 0


def test_positives_of_one_label_have_no_weight(tmp_path: Path) -> None:
    graph, features = small()
    write_candidates(tmp_path, graph, features, SETTINGS[0])
    assert load_candidates(tmp_path)["positive"].weight is None
    assert not list(tmp_path.rglob("weight*"))


def test_weights_of_another_length_are_refused(tmp_path: Path) -> None:
    graph, features = small(40, multi_label=True)
    write_candidates(tmp_path, graph, features, SETTINGS[0])
    np.save(tmp_path / "positive" / "weight.npy", np.ones(3, np.float32))
    with pytest.raises(RunDirectoryError, match="different lengths"):
        load_candidates(tmp_path)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: s.positives)
def test_small_blocks_give_the_same(settings: SamplingSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, features = small()
    whole = build_candidates(graph, features, settings)
    monkeypatch.setattr(distances, "BLOCK", 50)
    monkeypatch.setattr(distances, "_TILE", 24)
    for edge_type, some in build_candidates(graph, features, settings).items():
        assert same(whole[edge_type], some)


def test_scaling_the_features_changes_nothing() -> None:
    graph, features = small()
    scale = np.float32(2.0) ** np.random.default_rng(0).integers(-3, 4, (graph.n_rows, 1)).astype(np.float32)
    scaled = build_candidates(graph, features * scale, SETTINGS[0])
    for edge_type, some in build_candidates(graph, features, SETTINGS[0]).items():
        assert same(scaled[edge_type], some)


def test_inputs_that_disagree_are_refused() -> None:
    graph, features = small(40)
    rows = np.arange(40)
    good = (graph, features, features, graph.membership, rows)
    with pytest.raises(ConfigError, match=r"or module:name of your own; the nearest is dominant_far$"):
        positive_candidates(*good, "dominant_fa", 2, 2)
    with pytest.raises(ConfigError, match=r"sampling\.negatives"):
        negative_candidates(*good, "dominant_far", 2, 2)
    for bad in (
        (graph, features[:-1], features, graph.membership, rows),
        (graph, features, features[:, :-1], graph.membership, rows),
        (graph, features, features, graph.membership[:-1], rows),
        (graph, features, features, graph.membership, rows + 1),
        (graph, features, features, graph.membership, rows - 2),
        (graph, features, features, graph.membership, rows[:, None]),
        (graph, np.full_like(features, np.nan), features, graph.membership, rows),
    ):
        with pytest.raises(DataError):
            positive_candidates(*bad, "dominant_far", 2, 2)
    for patterns in (np.full(40, graph.n_patterns), np.zeros(3)):
        with pytest.raises(DataError, match="query patterns"):
            negative_candidates(*good, "same_then_nearest", 2, 2, query_patterns=patterns)
    with pytest.raises(DataError, match="rows"):
        build_candidates(graph, features, SETTINGS[0], [-1])
