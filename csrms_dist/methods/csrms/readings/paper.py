"""The reading as published: positives of the true class (eq. 9) and prototypes chosen by the label (eq. 11-12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from csrms_dist.basics.arrays import F32
from csrms_dist.hierarchy.dominance import class_group, largest_dominated_pattern
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.methods.csrms.readings.reading import Reading
from csrms_dist.methods.csrms.relations import Relations, neighbours
from csrms_dist.methods.model import LeakCase
from csrms_dist.methods.protocol import Batch
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.models.graph_head import GraphContext, GraphHead
from csrms_dist.models.prototypes import group_means
from csrms_dist.sampling import positive_candidates
from csrms_dist.sampling.reference_sampler import ReferenceSampler
from csrms_dist.sampling.subgraph import POSITIVE


class LabelRelations(Relations):
    """The prototypes of each class beside those of the patterns.

    cluster_prototypes (K, D): w_cu of eq. 11, the mean of the largest pattern that the class dominates.
    class_prototypes (K, D): p_ca of eq. 12, over all patterns that it dominates. A class that no pattern is counted to
    has its cluster prototype for it.
    """

    def __init__(self, graph: HierarchyGraph, bank: FeatureBank) -> None:
        # A class in no pattern has no image, so its row is never read: any pattern will do.
        self.chosen_pattern = torch.from_numpy(largest_dominated_pattern(graph).clip(min=0)).to(bank.device)
        self.dominated_class, self.n_classes = class_group(graph), graph.n_classes
        owned = np.bincount(self.dominated_class + 1, minlength=self.n_classes + 1)[1:] > 0
        self.owns_rows = torch.from_numpy(owned).to(bank.device)
        super().__init__(graph, bank)

    def refresh(self) -> None:
        super().refresh()
        self.cluster_prototypes = self.patterns.means[self.chosen_pattern]
        means = group_means(self.bank.current, self.dominated_class, self.n_classes).to(self.bank.device)
        self.class_prototypes = torch.where(self.owns_rows[:, None], means, self.cluster_prototypes)

    def of_labels(self, membership: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, K) membership -> the cluster's and the class's prototype of each row, both (B, D).

        With several labels the mean over them; a row without labels, which the paper does not know, is left where its
        own feature (B, D) is.
        """
        n_labels = membership.sum(dim=1, keepdim=True)
        share = membership / n_labels.clamp(min=1)
        chosen = (share @ self.cluster_prototypes, share @ self.class_prototypes)
        own, other = (torch.where(n_labels > 0, found, features.detach()) for found in chosen)
        return own, other


class PaperReading(Reading):
    """Equations as printed (5-6, 9-16), Fuzzy ART, the paper's batch of 32, and the weights of the released code (the
    paper gives none): .5 graph + 1/6 plain + 1/6 negative + 1/6 inter-class."""

    recipe: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "cluster": {"algorithm": "fuzzy"},
        "sampling": {"positives": "dominant_far", "negatives": "nearest_dominated"},
        "train": {"batch_size": 32},
        "method": {
            "weight_plain": 1 / 6,
            "weight_graph": 0.5,
            "weight_negative": 1 / 6,
            "weight_inter_class": 1 / 6,
        },
    }
    edge_types = (POSITIVE,)
    forms: ClassVar[Mapping[str, Mapping[str, Any]]] = {"negative": {"printed": True}, "inter_class": {"printed": True}}
    smoother = "knn"

    def relations(self, graph: HierarchyGraph, bank: FeatureBank) -> LabelRelations:
        return LabelRelations(graph, bank)

    def context(self, features: Tensor, batch: Batch, relations: Relations) -> GraphContext:
        if not isinstance(relations, LabelRelations):
            raise TypeError("the reading looks up what its own `relations` made")
        found, mask = neighbours(batch.subgraph, POSITIVE, self.n_positives, relations.bank)
        return GraphContext(found, mask, relations.of_labels(batch.membership, features))

    def unseen_context(self, features: Tensor, prototypes: Tensor) -> GraphContext:
        """The label is not known: the image's own feature stands in for its positives and its prototypes."""
        repeated = features[:, None].expand(-1, self.n_positives, -1)
        mask = torch.ones(repeated.shape[:2], dtype=torch.bool, device=features.device)
        return GraphContext(repeated, mask, (features, features))

    def label_chosen(self, head: GraphHead, case: LeakCase) -> F32:
        """Logits with positives and prototypes of the true class (CSRMS eq. 9-12), as in training."""
        features, membership, graph, sampling = case.features, case.membership, case.graph, case.sampling
        nowhere = np.full(len(features), -1)
        candidates = positive_candidates(
            graph, case.bank, features, membership, nowhere,
            sampling.positives, sampling.n_positives, sampling.pool, sampling.distance,
        )  # fmt: skip
        sampler = ReferenceSampler({POSITIVE: candidates}, {POSITIVE: sampling.n_positives}, case.seed)
        subgraph = sampler.sample(np.arange(len(features)), 0)
        relations = LabelRelations(graph, FeatureBank(case.bank, fixed=True))
        labels = torch.from_numpy(membership.toarray().astype(np.float32))
        own = torch.from_numpy(features)
        with torch.inference_mode():
            found, mask = neighbours(subgraph, POSITIVE, sampling.n_positives, relations.bank)
            logits, _ = head(own, GraphContext(found, mask, relations.of_labels(labels, own)))
        answers: F32 = logits.cpu().numpy()
        return answers
