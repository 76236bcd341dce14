"""A clustering of a run in one call, and the bytes that it saves."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from csrms_dist.art import Clustering, cluster
from csrms_dist.art.settings import ClusterSettings


def run(X, ids=None, n_classes=None, executor=None, **kwargs):
    ids = [f"row{i}" for i in range(len(X))] if ids is None else ids
    chosen = kwargs.pop("settings", None) or ClusterSettings(**kwargs)
    with TemporaryDirectory() as folder:
        np.save(Path(folder) / "vectors.npy", X)
        result = cluster(Path(folder) / "vectors.npy", ids, chosen, n_classes, Path(folder) / "work", executor)
        assert [path.name for path in Path(folder).iterdir()] == ["vectors.npy"]  # it cleans up after itself
    return result


def saved(result: Clustering) -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        result.save(Path(folder))
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
