"""The part `grain` of the benchmark: groups planted in vectors, and numbers of patterns that are asked for."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from art_timing import Table
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score

from csrms_dist.art import Clustering, cluster
from csrms_dist.art.scaling import SphericalScaling
from csrms_dist.art.settings import ClusterSettings
from csrms_dist.basics.arrays import Matrix

#: (groups, rows, dimensions, noise, uneven sizes and tightness, type)
PLANTED = [
    (5, 1000, 8, 0.2, False, np.float64),
    (5, 1000, 32, 0.8, False, np.float32),
    (20, 2000, 32, 0.3, False, np.float32),
    (20, 1000, 8, 0.3, False, np.float32),
    (20, 2000, 64, 1.2, False, np.float16),
    (60, 3000, 64, 0.6, True, np.float32),
    (100, 4000, 32, 0.3, True, np.float64),
    (100, 4000, 256, 0.8, False, np.float16),
    (300, 10_000, 64, 0.8, False, np.float32),
    (500, 10_000, 8, 0.05, False, np.float32),
    (500, 10_000, 64, 0.3, True, np.float32),
    (500, 10_000, 1280, 0.6, False, np.float32),
    (500, 10_000, 1280, 0.6, True, np.float32),
    (50, 60_000, 128, 0.8, True, np.float32),
]
#: More rows than are learnt, so loose that every vigilance gives another number.
LOOSE = (400, 120_000, 128, 2.0, True, np.float32)
ASKED = [(algorithm, n) for algorithm in ("spherical", "kmeans") for n in (300, 600, 1200)]


def planted(groups: int, n: int, dimension: int, noise: float, uneven: bool, kind: type) -> tuple[Matrix, Matrix]:
    """Rows (n, dimension) around random centres, six of each at least, and the centre of each."""
    draw = np.random.default_rng(groups + dimension)
    shares = draw.dirichlet(np.ones(groups)) if uneven else np.full(groups, 1 / groups)
    label = np.concatenate([np.repeat(np.arange(groups), 6), draw.choice(groups, n - 6 * groups, p=shares)])
    tightness = draw.uniform(0.3, 1, groups) if uneven else np.ones(groups)
    spread = noise * tightness[label, None] * draw.normal(size=(n, dimension))
    return (draw.normal(size=(groups, dimension))[label] + spread).astype(kind), label


def purity(pattern: Matrix, label: Matrix) -> float:
    table = np.zeros((int(pattern.max()) + 1, int(label.max()) + 1), np.int64)
    np.add.at(table, (pattern, label), 1)
    return float(table.max(axis=1).sum() / len(label))


def clustered(x: Matrix, classes: int | None, **options: Any) -> tuple[Clustering, float]:
    """A run's clustering of the rows, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        np.save(path, x)
        started = time.perf_counter()
        ids = [f"row{k}" for k in range(len(x))]
        found = cluster(path, ids, ClusterSettings.from_mapping(options), classes, Path(folder) / "work")
        return found, time.perf_counter() - started


def grain(given: argparse.Namespace) -> Table:
    """Planted groups with `auto`, beside k-means at their true number; then numbers that are asked for."""
    found: Table = []
    for groups, n, dimension, noise, uneven, kind in PLANTED:
        x, label = planted(groups, n, dimension, noise, uneven, kind)
        wide = SphericalScaling.fit(x).transform_block(x).astype(np.float32)
        wide /= np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-9)
        theirs = KMeans(groups, n_init=5, random_state=0).fit_predict(wide[:10_000])
        for classes in (None, groups):
            result, seconds = clustered(x, classes)
            low_high = f"{result.grain.low:.2f} to {result.grain.high:.2f}" if result.grain else None
            found.append(
                {
                    "groups": groups, "rows": n, "D": dimension, "noise": noise, "uneven": str(uneven),
                    "type": np.dtype(kind).name, "labels": str(classes is not None), "grain": low_high,
                    "patterns": result.n_patterns, "purity": purity(result.pattern, label),
                    "KMeans": purity(theirs, label[:10_000]), "seconds": seconds,
                }
            )  # fmt: skip
    x, label = planted(*LOOSE)
    for algorithm, asked in (*ASKED, ("spherical", "auto")):
        result, seconds = clustered(x, 81, algorithm=algorithm, n_patterns=asked)
        found.append(
            {
                "groups": LOOSE[0], "rows": LOOSE[1], "D": LOOSE[2], "noise": LOOSE[3], "uneven": str(LOOSE[4]),
                "type": np.dtype(LOOSE[5]).name, "asked": f"{algorithm} {asked}", "patterns": result.n_patterns,
                "purity": purity(result.pattern, label), "seconds": seconds,
                "AMI": float(adjusted_mutual_info_score(label[:20_000], result.pattern[:20_000])),
            }
        )  # fmt: skip
    return found
