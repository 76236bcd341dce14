"""Prototypes that labels choose (CSRMS eq. 11-12): those of the classes of an image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from csrms_dist.basics.arrays import I64
from csrms_dist.hierarchy.dominance import class_group, largest_dominated_pattern
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.models.alignment.alignment import Grounds, Pair
from csrms_dist.models.prototypes import PatternPrototypes, group_means


class LabelPrototypes(Grounds):
    """cluster_prototypes (K, D): w_cu of eq. 11, the mean of the largest pattern that the class dominates.

    class_prototypes (K, D): p_ca of eq. 12, over all patterns that it dominates. A class that no pattern is counted to
    has its cluster prototype for it.
    """

    def __init__(self, graph: HierarchyGraph) -> None:
        # A class in no pattern has no image, so its row is never read: any pattern will do.
        self.chosen_pattern = torch.from_numpy(largest_dominated_pattern(graph).clip(min=0))
        self.dominated_class, self.n_classes = class_group(graph), graph.n_classes
        owned = np.bincount(self.dominated_class + 1, minlength=self.n_classes + 1)[1:] > 0
        self.owns_rows = torch.from_numpy(owned)

    def refresh(self, patterns: PatternPrototypes) -> None:
        device = patterns.device
        self.cluster_prototypes = self.of_largest(patterns)
        means = group_means(patterns.features, self.dominated_class, self.n_classes).to(device)
        whole = patterns.means[self.chosen_pattern.to(device)]
        self.class_prototypes = torch.where(self.owns_rows.to(device)[:, None], means, whole)

    def of_largest(self, patterns: PatternPrototypes) -> Tensor:
        """(K, D): of the largest pattern that each class dominates."""
        return patterns.means[self.chosen_pattern.to(patterns.device)]

    def of_batch(self, features: Tensor, rows: I64 | None, membership: Tensor) -> Pair:
        """With several labels the mean over them; a row without labels, which the paper does not know, is left where
        its own feature is."""
        n_labels = membership.sum(dim=1, keepdim=True)
        share = membership / n_labels.clamp(min=1)
        found = (share @ self.cluster_prototypes, share @ self.class_prototypes)
        cluster, label = (torch.where(n_labels > 0, some, features.detach()) for some in found)
        return cluster, label
