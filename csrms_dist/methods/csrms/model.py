"""The model of CSRMS: encoder, plain head and graph head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from csrms_dist.basics.arrays import F32
from csrms_dist.basics.lookup import chosen
from csrms_dist.encoders.encoder import Encoder
from csrms_dist.methods.csrms.readings import READINGS
from csrms_dist.methods.csrms.readings.reading import Reading
from csrms_dist.methods.csrms.settings import GRAPH_HEAD
from csrms_dist.methods.model import LeakCase, PlainModel
from csrms_dist.methods.saved_model import ModelCard, another_version
from csrms_dist.models.graph_head import GraphHead
from csrms_dist.models.smoothing import SMOOTHERS

PROTOTYPES = "prototypes.npy"


class CSRMSModel(PlainModel):
    """Encoder, plain head and graph head; trained and saved together.

    reading: what enters the graph head of unseen images. smoother: a name of SMOOTHERS; auto: the reading's own.
    """

    def __init__(self, encoder: Encoder, n_classes: int, reading: Reading, smoother: str = "auto") -> None:
        super().__init__(encoder, n_classes)
        self.reading = reading
        name = reading.smoother if smoother == "auto" else smoother
        smoothing: nn.Module = chosen(SMOOTHERS, name, "method.smoother")(encoder.dimension)
        self.graph_head = GraphHead(smoothing, encoder.dimension, n_classes)

    def classifiers(self) -> tuple[nn.Linear, ...]:
        return (self.plain_head, self.graph_head.classifier)

    def answers(self, features: Tensor) -> dict[str, Tensor]:
        if self.prototypes is None:
            return super().answers(features)
        logits, _ = self.graph_head(features, self.reading.unseen_context(features, self.prototypes))
        return {**super().answers(features), "graph": logits}

    def load_beside(self, folder: Path) -> None:
        """The (J, D) prototypes of the patterns, in the trained features."""
        if (folder / PROTOTYPES).exists():
            self.prototypes = torch.from_numpy(np.load(folder / PROTOTYPES))

    def label_chosen(self, case: LeakCase) -> F32 | None:
        return self.reading.label_chosen(self.graph_head, case)


def make(card: ModelCard, encoder: Encoder) -> CSRMSModel:
    """The model of a card. Raises RunDirectoryError for one whose graph head was another."""
    options = card.options
    if options.get("graph_head") != GRAPH_HEAD:
        raise another_version("the trained model")
    kind: type[Reading] = chosen(READINGS, options["reading"], "method.reading")
    reading = kind(options["prototypes"], options["n_positives"])
    return CSRMSModel(encoder, len(card.class_names), reading, options["smoother"])
