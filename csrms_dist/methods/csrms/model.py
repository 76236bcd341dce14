"""The model of CSRMS: encoder, plain head and graph head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from csrms_dist.basics.arrays import F32
from csrms_dist.basics.lookup import chosen
from csrms_dist.encoders.encoder import Encoder
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.methods.csrms.encoding.encoding import Draw
from csrms_dist.methods.csrms.readings import READINGS
from csrms_dist.methods.csrms.readings.reading import Reading
from csrms_dist.methods.csrms.relations import Relations
from csrms_dist.methods.csrms.settings import AUTO, GRAPH_HEAD
from csrms_dist.methods.model import LeakCase, PlainModel
from csrms_dist.methods.protocol import Batch
from csrms_dist.methods.saved_model import ModelCard, another_version
from csrms_dist.models.alignment import ALIGNMENTS
from csrms_dist.models.alignment.alignment import Alignment
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.models.graph_head import GraphContext, GraphHead
from csrms_dist.models.smoothing.smoother import make_smoother

PROTOTYPES = "prototypes.npy"
CLASS_PROTOTYPES = "class_prototypes.npy"


@dataclass(frozen=True)
class HeadWords:
    """What the settings say of the graph head, names of SMOOTHERS, ADJACENCIES, NORMALISATIONS and ALIGNMENTS; auto is
    what the reading does."""

    smoother: str = AUTO
    adjacency: str = AUTO
    normalisation: str = AUTO
    alignment: str = AUTO


class CSRMSModel(PlainModel):
    """Encoder, plain head and graph head; trained and saved together.

    reading: what enters the graph head. words: how that smooths and aligns. several: an image may have several labels.
    class_prototypes: (J, D), what an alignment keeps of training for unseen images beside `prototypes`.
    """

    class_prototypes: Tensor | None

    def __init__(
        self,
        encoder: Encoder,
        n_classes: int,
        reading: Reading,
        words: HeadWords = HeadWords(),
        *,
        several: bool = False,
    ) -> None:
        super().__init__(encoder, n_classes)
        self.reading = reading
        form = replace(
            reading.form,
            adjacency=_or(words.adjacency, reading.form.adjacency),
            normalisation=_or(words.normalisation, reading.form.normalisation),
        )
        smoothing: nn.Module = make_smoother(_or(words.smoother, reading.smoother), encoder.dimension, form)
        kind: type[Alignment] = chosen(ALIGNMENTS, _or(words.alignment, reading.alignment), "method.alignment")
        self.alignment = kind(reading.prototypes, several)
        self.graph_head = GraphHead(smoothing, encoder.dimension, n_classes, self.alignment, framed=form.framed)
        self.register_buffer("class_prototypes", None, persistent=False)

    def classifiers(self) -> tuple[nn.Linear, ...]:
        return (self.plain_head, self.graph_head.classifier)

    def relations(self, graph: HierarchyGraph, bank: FeatureBank) -> Relations:
        """What the reading and the alignment look up in training."""
        found = self.reading.relations(graph, bank)
        found.align(self.alignment.grounds(graph))
        return found

    def context(self, features: Tensor, batch: Batch, relations: Relations, draw: Draw) -> GraphContext:
        """The graph head's surroundings in training, for (b, D) features of the batch's rows."""
        found = self.reading.context(features, batch, relations, draw)
        if relations.grounds is None:
            return found
        return replace(found, prototypes=relations.grounds.of_batch(features, batch.rows, batch.membership))

    def unseen_context(self, features: Tensor, prototypes: Tensor) -> GraphContext:
        """The same for (B, D) features of images without a row and without a label."""
        found = self.reading.unseen_context(features, prototypes)
        aligned = self.alignment.unseen(features, prototypes, self.class_prototypes)
        return found if aligned is None else replace(found, prototypes=aligned)

    def answers(self, features: Tensor) -> dict[str, Tensor]:
        if self.prototypes is None:
            return super().answers(features)
        logits, _ = self.graph_head(features, self.unseen_context(features, self.prototypes))
        return {**super().answers(features), "graph": logits}

    def load_beside(self, folder: Path) -> None:
        """The (J, D) prototypes of the patterns, in the trained features, and what the alignment kept beside them."""
        if (folder / PROTOTYPES).exists():
            self.prototypes = torch.from_numpy(np.load(folder / PROTOTYPES))
        if (folder / CLASS_PROTOTYPES).exists():
            self.class_prototypes = torch.from_numpy(np.load(folder / CLASS_PROTOTYPES))

    def label_chosen(self, case: LeakCase) -> F32 | None:
        """Logits where labels choose neighbours (the reading), prototypes (the alignment) or both, as in training."""
        chosen_nodes = self.reading.label_chosen(case)
        if chosen_nodes is None and not self.alignment.label_chosen:
            return None
        features = torch.from_numpy(case.features)
        with torch.inference_mode():
            relations = self.relations(case.graph, FeatureBank(case.bank, fixed=True))
            prototypes = relations.patterns.means
            found = self.unseen_context(features, prototypes) if chosen_nodes is None else chosen_nodes
            if relations.grounds is not None:
                labels = torch.from_numpy(case.membership.toarray().astype(np.float32))
                found = replace(found, prototypes=relations.grounds.of_batch(features, None, labels))
            logits, _ = self.graph_head(features, found)
        answers: F32 = logits.cpu().numpy()
        return answers


def _or(word: str, default: str) -> str:
    return default if word == AUTO else word


def make(card: ModelCard, encoder: Encoder) -> CSRMSModel:
    """The model of a card. Raises RunDirectoryError for one whose graph head was another."""
    options = card.options
    if options.get("graph_head") != GRAPH_HEAD:
        raise another_version("the trained model")
    kind: type[Reading] = chosen(READINGS, options["reading"], "method.reading")
    reading = kind(options["prototypes"], options["n_positives"])
    words = HeadWords(options["smoother"], options["adjacency"], options["normalisation"], options["alignment"])
    return CSRMSModel(encoder, len(card.class_names), reading, words, several=card.multi_label)
