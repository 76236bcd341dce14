"""New images among the patterns of a run: where they lie, and whether they are unlike all that it was trained on."""

from __future__ import annotations

import numpy as np
import torch

from csrms_dist.art.outliers import Placed
from csrms_dist.basics.arrays import F32, U8
from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.run_contents import RunContents
from csrms_dist.training.recipe import PRETRAIN, TRAIN


class Placement:
    """Places images as the graph places those that it holds: by the features that were clustered."""

    def __init__(self, run: RunContents, device: torch.device | str = "cpu") -> None:
        self._run = run
        # Trained further, the encoder has other features than those that were clustered: then images are encoded twice.
        # A feature bank does not tell: below an adapter, which has one, the encoder is as it was.
        trained = run.facts(TRAIN)["passes"]["backward"] > 0
        self._encoder = Classifier(run.artefact(PRETRAIN), device) if trained else None

    def place(self, pixels: U8, features: F32) -> Placed:
        """pixels: (M, H, W, 3) uint8. features: (M, D), theirs by the trained model's encoder."""
        vectors = np.asarray(features if self._encoder is None else self._encoder.features(pixels))
        return self._run.outliers.place(vectors, self._run.vectors, self._run.clusters)
