"""CSRMS (Chen et al., MM 2023): stages, model and the two readings of its graph head.

The readings differ in what enters the graph head. `paper`: same-class positives and prototypes chosen by the label, as
printed, so the head is told the answer in training. `structural`: only what is found without the label, by the same
code in training and at test; positives and negatives are targets of losses.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from csrms_dist.basics.collective import Collective
from csrms_dist.encoders import Encoder
from csrms_dist.hierarchy.dominance import class_group, largest_dominated_pattern
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.losses.attraction import Attraction
from csrms_dist.losses.classification import classification_loss, top_hits
from csrms_dist.losses.inter_class import InterClass, class_sums
from csrms_dist.losses.negative_sampling import NegativeSampling
from csrms_dist.losses.objective import Objective
from csrms_dist.methods.csrms.settings import MethodSettings
from csrms_dist.methods.protocol import Batch, BatchOutcome, Stage
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.models.graph_head import GraphContext, GraphHead
from csrms_dist.models.prototypes import PatternPrototypes, group_means, nearest_rows
from csrms_dist.sampling.subgraph import BatchSubgraph

_TRAIN_SETTINGS = ("seed", "encoder", "train")

STAGES = (
    Stage("images", (), ("data",)),
    Stage("pretrain", ("images",), ("seed", "encoder", "pretrain")),
    Stage("features", ("images", "pretrain"), ("encoder", "features")),
    Stage("cluster", ("features",), ("cluster",)),
    Stage("graph", ("features", "cluster"), ("graph.dominance_threshold", "sampling.n_positives")),
    Stage("train", ("images", "pretrain", "features", "graph"), (*_TRAIN_SETTINGS, "sampling", "method")),
    Stage("control", ("images", "pretrain", "features"), (*_TRAIN_SETTINGS, "method.weight_plain")),
    Stage(
        "evaluate",
        ("images", "pretrain", "features", "cluster", "graph", "train", "control"),
        ("seed", "evaluate", "graph", "sampling", "method"),
    ),
)

GIVEN_VECTOR_STAGES = (Stage("features", (), ("features",)), *STAGES[3:5])


class CSRMSModel(nn.Module):
    """Encoder, plain head and graph head; what is trained and what is saved."""

    def __init__(self, encoder: Encoder, dimension: int, n_classes: int, reading: str, seed: int) -> None:
        super().__init__()
        self.encoder: Encoder = encoder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.plain_head = nn.Linear(dimension, n_classes)
            self.graph_head = GraphHead(dimension, n_classes, as_printed=reading == "paper")


class Relations:
    """What the graph head and the relation losses look up: the bank, and the prototypes made from it by the hierarchy.

    A class that no pattern is counted to has its cluster prototype for its class prototype.
    """

    def __init__(self, graph: HierarchyGraph, bank: FeatureBank) -> None:
        self.bank = bank
        self.n_patterns, self.n_classes = graph.n_patterns, graph.n_classes
        self.pattern = torch.from_numpy(np.array(graph.pattern, dtype=np.int64))
        self.chosen_pattern = torch.from_numpy(largest_dominated_pattern(graph))
        self.dominated_class = torch.from_numpy(class_group(graph))
        self.owns_rows = torch.bincount(self.dominated_class + 1, minlength=self.n_classes + 1)[1:] > 0
        self.refresh()

    def refresh(self) -> None:
        """Make the prototypes anew from the bank's current generation."""
        self.patterns = PatternPrototypes(self.bank.current, self.pattern, self.n_patterns)
        # Paper only: w_cu of eq. 11 and p_ca of eq. 12, both indexed by class.
        # A class in no pattern has none (-1): no image carries it, so whatever stands in its row is never read.
        self.cluster_prototypes = self.patterns.means[self.chosen_pattern.clamp(min=0)]
        means = group_means(self.bank.current, self.dominated_class, self.n_classes)
        self.class_prototypes = torch.where(self.owns_rows[:, None], means, self.cluster_prototypes)

    def label_prototypes(self, membership: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Paper only: (B, K) membership -> the cluster's and the class's prototype of each row, both (B, D).

        With several labels the mean over them; a row without labels, which the paper does not know, is left where its
        own feature (B, D) is.
        """
        n_labels = membership.sum(dim=1, keepdim=True)
        share = membership / n_labels.clamp(min=1)
        chosen = (share @ self.cluster_prototypes, share @ self.class_prototypes)
        own, other = (torch.where(n_labels > 0, found, features.detach()) for found in chosen)
        return own, other


class Reading(Protocol):
    """What enters the graph head in training."""

    def context(self, features: Tensor, batch: Batch, relations: Relations) -> GraphContext: ...


class StructuralReading:
    """The k nearest pattern prototypes, found without the label; training rows are left out of their own mean."""

    def __init__(self, prototypes: int) -> None:
        self.prototypes = prototypes

    def context(self, features: Tensor, batch: Batch, relations: Relations) -> GraphContext:
        return GraphContext(*relations.patterns.nearest(features, batch.rows, self.prototypes))

    def unseen_context(self, features: Tensor, prototypes: Tensor) -> GraphContext:
        """For images without a row: (B, D) features, (J, D) prototypes."""
        found, mask = nearest_rows(features, prototypes, min(self.prototypes, len(prototypes)), None)
        return GraphContext(found, mask)


class PaperReading:
    """Positives of the true class from the bank (eq. 9) and prototypes chosen by the label (eq. 11-12)."""

    def __init__(self, n_positives: int) -> None:
        self.n_positives = n_positives

    def context(self, features: Tensor, batch: Batch, relations: Relations) -> GraphContext:
        found, mask = neighbours(batch.subgraph, "positive", self.n_positives, relations.bank)
        return GraphContext(found, mask, relations.label_prototypes(batch.membership, features))

    def unseen_context(self, features: Tensor, prototypes: Tensor) -> GraphContext:
        """The label is not known: the image's own feature stands in for its positives and its prototypes."""
        repeated = features[:, None].expand(-1, self.n_positives, -1)
        return GraphContext(repeated, torch.ones(repeated.shape[:2], dtype=torch.bool), (features, features))


def make_reading(name: str, prototypes: int, n_positives: int) -> StructuralReading | PaperReading:
    """The reading of that name."""
    return PaperReading(n_positives) if name == "paper" else StructuralReading(prototypes)


def neighbours(subgraph: BatchSubgraph | None, edge_type: str, width: int, bank: FeatureBank) -> tuple[Tensor, Tensor]:
    """The bank's features of an edge type's neighbours: (B, width, D) and mask (B, width)."""
    if subgraph is None:
        raise ValueError(f"the batch has no sub-graph, but the reading needs {edge_type} edges")
    index, mask = subgraph.dense(edge_type, width)
    return bank.read(torch.from_numpy(index)), torch.from_numpy(mask)


def edge_types(settings: MethodSettings) -> tuple[str, ...]:
    """The edge types that a batch's sub-graph must have: what no term and no reading looks at need not be made."""
    positive = settings.weight_attract > 0 or settings.reading == "paper"
    return ("positive",) * positive + ("negative",) * (settings.weight_negative > 0)


class CSRMS:
    """CSRMS under training: losses on a batch, the bank and the prototypes between epochs."""

    def __init__(
        self,
        model: CSRMSModel,
        graph: HierarchyGraph,
        bank: FeatureBank,
        settings: MethodSettings,
        *,
        n_positives: int,
        n_negatives: int,
        label_smoothing: float = 0.0,
    ) -> None:
        self.module = model
        self.relations = Relations(graph, bank)
        self.labels_per_image = graph.membership.nnz / graph.n_rows if graph.multi_label else None
        self.reading = make_reading(settings.reading, settings.prototypes, n_positives)
        printed = settings.reading == "paper"
        self.objective = Objective(
            {
                "plain": settings.weight_plain,
                "graph": settings.weight_graph,
                "negative": settings.weight_negative,
                "inter_class": settings.weight_inter_class,
                "attract": settings.weight_attract,
            }
        )
        self.negative, self.inter_class, self.attraction = (
            NegativeSampling(printed=printed),
            InterClass(printed=printed),
            Attraction(),
        )
        self.n_positives, self.n_negatives = n_positives, n_negatives
        self.label_smoothing = label_smoothing
        self.edge_types = edge_types(settings)

    def batch(self, batch: Batch, collective: Collective) -> BatchOutcome:
        size = len(batch.global_rows)
        features = self.module.encoder(batch.inputs)
        plain = self.module.plain_head(features)
        graph, smoothed = self.module.graph_head(features, self.reading.context(features, batch, self.relations))
        unit = normalize(features, dim=1)
        terms: dict[str, Tensor] = {}
        if self.objective.has("plain"):
            terms["plain"] = self._classification(plain, batch)
        if self.objective.has("graph"):
            terms["graph"] = self._classification(graph, batch)
        if self.objective.has("negative"):
            found, mask = neighbours(batch.subgraph, "negative", self.n_negatives, self.relations.bank)
            terms["negative"] = self.negative(unit, normalize(found, dim=2), mask, size, collective.all_sum)
        if self.objective.has("attract"):
            found, mask = neighbours(batch.subgraph, "positive", self.n_positives, self.relations.bank)
            terms["attract"] = self.attraction(unit, normalize(found, dim=2), mask, size, collective.all_sum)
        if self.objective.has("inter_class"):
            sums = collective.all_sum(class_sums(smoothed, batch.membership))
            terms["inter_class"] = collective.share(self.inter_class(sums))
        self.relations.bank.write(batch.global_rows, collective.gather_rows(features, size))
        heads = {"plain": plain, "graph": graph}
        return BatchOutcome(terms, {name: top_hits(logits, batch.membership) for name, logits in heads.items()})

    def _classification(self, logits: Tensor, batch: Batch) -> Tensor:
        size = len(batch.global_rows)
        return classification_loss(
            logits, batch.membership, size, self.label_smoothing, labels_per_image=self.labels_per_image
        )

    def end_epoch(self, collective: Collective) -> None:
        self.relations.bank.turn(collective)
        self.relations.refresh()

    def state_dict(self) -> dict[str, Any]:
        return {
            "bank": self.relations.bank.state_dict(),
            "prototypes": self.relations.patterns.means,
            "negative": self.negative.scale.state_dict(),
            "inter_class": self.inter_class.scale.state_dict(),
            "attract": self.attraction.scale.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.relations.bank.load_state_dict(state["bank"])
        self.relations.refresh()
        self.negative.scale.load_state_dict(state["negative"])
        self.inter_class.scale.load_state_dict(state["inter_class"])
        self.attraction.scale.load_state_dict(state["attract"])
