"""A run's artefacts by what they are: images, features, clusters, hierarchy, candidates, models.

The one door through which a run is read: each is opened once, when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from csrms_dist.art.clustering import Clustering
from csrms_dist.art.outliers import Outliers, Placed
from csrms_dist.artefacts.names import CANDIDATES, HELD_OUT, SNAPSHOT, TEST_IMAGES, TRAIN_IMAGES
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.arrays import F32, I64
from csrms_dist.basics.hashing import Texts
from csrms_dist.datasets.image_table import ImageTable, holds_images
from csrms_dist.features.feature_table import VECTORS, FeatureTable
from csrms_dist.features.ranged_vectors import RangedVectors
from csrms_dist.hierarchy import snapshot
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.models.feature_bank import BANK
from csrms_dist.sampling.candidates import Candidates, load_candidates


class RunContents:
    """The contents of a run directory. Raises RunDirectoryError for an artefact that is asked for and not there.

    Assumes that a stamped artefact never changes while this lives.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory

    def facts(self, stage: str) -> dict[str, Any]:
        """The notes of a stage on its artefact."""
        return self.directory.facts(stage)

    @cached_property
    def train_images(self) -> ImageTable:
        """The images of the splits train and val."""
        return self._images(TRAIN_IMAGES)

    @cached_property
    def test_images(self) -> ImageTable:
        return self._images(TEST_IMAGES)

    def _images(self, name: str) -> ImageTable:
        files = (self.directory.stamp("images") or {"files": {}})["files"]
        folder = self.directory.open("images", by_range=tuple(filter(holds_images, files)))
        return ImageTable(folder / name, lambda file: self.directory.ranged("images", file))

    @cached_property
    def features(self) -> FeatureTable:
        """The rows of the train split, or the user's own vectors."""
        return FeatureTable.load(self.directory.open("features"))

    @cached_property
    def held_out(self) -> FeatureTable | None:
        """The rows of the splits val, test and unlabelled beside those of `features`; None where there is none."""
        folder = self.directory.open("features") / HELD_OUT
        return FeatureTable.load(folder) if folder.exists() else None

    @cached_property
    def features_by_row(self) -> FeatureTable:
        """`features`, of whose vectors rows are asked for by number, and nothing else: of a run that is not local they
        are fetched when they are asked for."""
        return self._by_row("") or self.features

    @cached_property
    def held_out_by_row(self) -> FeatureTable | None:
        """`held_out` in the same way."""
        return self._by_row(HELD_OUT) or self.held_out

    def _by_row(self, below: str) -> FeatureTable | None:
        """A table whose vectors may have holes; None where they have none."""
        folder = self.directory.open("features", by_range=(VECTORS, f"{HELD_OUT}/{VECTORS}")) / below
        copy = self.directory.ranged("features", f"{below}/{VECTORS}".lstrip("/"))
        return None if copy is None else FeatureTable.load(folder, RangedVectors(copy))

    def held_out_vectors(self, rows: I64, *, of_test: bool) -> F32:
        """(n, D) features of rows of the test images, or of rows of the training images that are no training rows."""
        table = self.held_out_by_row
        wanted = rows + len(self.train_images) if of_test else rows
        if table is None:
            return np.zeros((0, self.features_by_row.dimension), np.float32)
        found: F32 = table.vectors[np.searchsorted(table.instance, wanted)]
        return found

    @property
    def has_labels(self) -> bool:
        """Whether the images, or the user's own vectors, carry labels; without them nothing can be trained."""
        if self.directory.stamp("images") is not None:
            return int(self.facts("images")["classes"]) > 0
        return self.features.classes.n_classes > 0

    @property
    def ids(self) -> Texts:
        """(N,) names of the hierarchy's rows."""
        return self.features.ids

    @property
    def vectors(self) -> F32:
        """(N, D) features of the hierarchy's rows."""
        return self.features.vectors

    @property
    def vectors_file(self) -> Path:
        """The file of `vectors`."""
        return self.directory.open("features") / VECTORS

    @cached_property
    def clusters(self) -> Clustering:
        return Clustering.load(self.directory.open("cluster"))

    @property
    def held_out_places(self) -> Placed:
        """Where the rows of `held_out` lie."""
        folder = self.directory.open("cluster") / HELD_OUT
        return Placed(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in Placed._fields))

    @cached_property
    def outliers(self) -> Outliers:
        return Outliers.load(self.directory.open("cluster"))

    @cached_property
    def hierarchy(self) -> HierarchyGraph:
        """The run's graph as the store gave it back."""
        return snapshot.load(self.directory.open("graph") / SNAPSHOT)

    def candidates(self, edge_types: Iterable[str]) -> dict[str, Candidates]:
        """The neighbours that an anchor may draw, by edge type."""
        return load_candidates(self.directory.open(CANDIDATES), edge_types)

    def artefact(self, stage: str) -> Path:
        """The folder of a stage's artefact: of the model that it trained, or of what a method wrote itself."""
        return self.directory.open(stage)

    @property
    def bank(self) -> F32:
        """(N, D) features that the trained heads look at; where these stayed as they were, the feature table."""
        path = self.artefact("train") / BANK
        if not path.exists():
            return self.vectors
        found: F32 = np.load(path, mmap_mode="r")
        return found
