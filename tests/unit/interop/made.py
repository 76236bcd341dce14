"""A run directory as far as the stage graph, of random features, for the tests of what other tools get of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from csrms_dist.art import cluster
from csrms_dist.art.settings import ClusterSettings
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.datasets.image_source import SPLITS
from csrms_dist.features.feature_table import FeatureTable
from csrms_dist.hierarchy import snapshot
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.labels import LabelSpace

N, D, CLASSES = 60, 6, ("cat", "dog", "owl")
LABELS = np.random.default_rng(1).integers(0, len(CLASSES), N)
VECTORS = (np.random.default_rng(0).normal(size=(N, D)) + 1.5 * np.eye(len(CLASSES), D)[LABELS]).astype(np.float32)
SPLIT = [("train", "val", "test", "unlabelled", "train", "train")[n % 6] for n in range(N)]


def labels_of(n: int, *, multi_label: bool) -> list[int]:
    """The classes of a row as its owner knows them."""
    if SPLIT[n] == "unlabelled":
        return []
    one = int(LABELS[n])
    return sorted({one, (one + n) % len(CLASSES)}) if multi_label else [one]


def order() -> list[int]:
    """The rows as they are numbered in the graph: those of training, then the others."""
    return sorted(range(N), key=lambda n: SPLIT[n] != "train")


def made_run(folder: Path, *, multi_label: bool = False, labelled: bool = True) -> RunDirectory:
    """features/, cluster/ and graph/; three rows in six are of training."""
    run = RunDirectory(folder / "run")
    labels = [labels_of(n, multi_label=multi_label) for n in range(N)]
    space = LabelSpace(CLASSES, multi_label)
    table = FeatureTable(
        VECTORS,
        np.arange(N) * 10,
        np.zeros(N, np.int32),
        pa.array([f"image {n}" for n in range(N)]),
        space.membership([row if multi_label else row[0] if row else None for row in labels]) if labelled else None,
        space if labelled else None,
        np.array([SPLITS.index(word) for word in SPLIT], np.uint8),
    )
    with run.writing("features", "f") as place:
        table.save_divided(place)
    features = run.open("features")
    train, beside = FeatureTable.load(features), FeatureTable.load(features / "held_out")
    work = folder / "work"
    work.mkdir()
    settings = ClusterSettings(n_patterns=5, shards=2)
    clustering = cluster(features / "vectors.npy", train.ids, settings, train.classes.n_classes or None, work)
    pattern, score = clustering.predict(beside.vectors)
    with run.writing("cluster", "c") as place:
        clustering.save(place)
        (place / "held_out").mkdir()
        nothing = {"distance": np.zeros(len(beside), np.float32), "outlier": np.zeros(len(beside), np.bool_)}
        for name, values in {"pattern": pattern, "score": score, **nothing}.items():
            np.save(place / "held_out" / f"{name}.npy", values)
    graph = build_hierarchy(
        clustering.pattern, clustering.score, train.labels, train.instance,
        dominance_threshold=0.5, n_positives=3, multi_label=multi_label,
    )  # fmt: skip
    with run.writing("graph", "g") as place:
        snapshot.save(graph, place / "snapshot")
    return run
