"""New images among the patterns of a run: where they lie, and whether they are unlike all that it was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csrms_dist.basics.arrays import F32, I32, U8, Bools
from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.models.feature_bank import BANK
from csrms_dist.run_contents import RunContents
from csrms_dist.training.recipe import PRETRAIN, TRAIN


@dataclass(frozen=True)
class Placed:
    """Of M images, each (M,): the pattern, the resemblance to it (IN_PATTERN.score), distance and outlier as there."""

    pattern: I32
    resemblance: F32
    distance: F32
    outlier: Bools


class Placement:
    """Places images as the graph places those that it holds: by the features that were clustered."""

    def __init__(self, run: RunContents) -> None:
        self._run = run
        # Trained further, the encoder has other features than those that were clustered: then images are encoded twice.
        self._frozen = not (run.artefact(TRAIN) / BANK).exists()
        self._encoder = None if self._frozen else Classifier(run.artefact(PRETRAIN))

    def place(self, pixels: U8, features: F32) -> Placed:
        """pixels: (M, H, W, 3) uint8. features: (M, D), theirs by the trained encoder."""
        vectors = np.asarray(features if self._encoder is None else self._encoder.features(pixels))
        pattern, score = self._run.clusters.predict(vectors)
        found = self._run.outliers.of_new(vectors, pattern, self._run.vectors, self._run.clusters)
        return Placed(pattern, score, *found)
