"""The alignment of the code released with CSRMS: before the smoothing, with prototypes that the label chooses."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from csrms_dist.basics.arrays import I64
from csrms_dist.hierarchy.csr import stored_rows
from csrms_dist.hierarchy.graph import ROLE_DOMINATES, HierarchyGraph
from csrms_dist.models.alignment.alignment import Alignment, Grounds, Pair
from csrms_dist.models.alignment.label_prototypes import LabelPrototypes
from csrms_dist.models.prototypes import ROWS, Features, PatternPrototypes, rows_of


class ReferencePrototypes(LabelPrototypes):
    """cluster_prototypes (K, D): the sum of a class's images in the pattern that has most of them, ties to the higher
    index, over *all* images of the class, as the released code divides it.

    class_prototypes (K, D): the mean of a class's images in the patterns that it dominates. A class that dominates none
    divides by zero there, and has its cluster prototype here.
    """

    def __init__(self, graph: HierarchyGraph) -> None:
        row, label = stored_rows(graph.membership), np.asarray(graph.membership.indices, np.int64)
        pattern = np.asarray(graph.pattern, np.int64)[row]
        of_largest = pattern == _largest(graph)[label]
        cell = np.asarray(graph.role[pattern, label]).ravel()
        self.n_classes = graph.n_classes
        self.in_largest = row[of_largest], label[of_largest]
        self.in_dominated = row[cell == ROLE_DOMINATES], label[cell == ROLE_DOMINATES]
        self.class_sizes = np.bincount(label, minlength=self.n_classes)

    def refresh(self, patterns: PatternPrototypes) -> None:
        features = patterns.features
        cluster = _over(_sums(features, *self.in_largest, self.n_classes), self.class_sizes)
        in_class = np.bincount(self.in_dominated[1], minlength=self.n_classes)
        label = _over(_sums(features, *self.in_dominated, self.n_classes), in_class)
        label = torch.where(torch.from_numpy(in_class > 0)[:, None], label, cluster)
        self.cluster_prototypes, self.class_prototypes = cluster.to(patterns.device), label.to(patterns.device)


def _largest(graph: HierarchyGraph) -> I64:
    """(K,): the pattern with most images of each class, ties to the higher index; -1 for a class without one."""
    pattern, label = stored_rows(graph.counts), np.asarray(graph.counts.indices, np.int64)
    order = np.lexsort((pattern, graph.counts.data, label))
    found = np.full(graph.n_classes, -1, np.int64)
    found[label[order]] = pattern[order]  # the last one of a class is written last, and stays
    return found


def _sums(features: Features, row: I64, group: I64, n_groups: int) -> Tensor:
    """(E,) ascending rows of features (N, D) and the group of each -> (G, D) float64 sums, read in blocks."""
    sums = torch.zeros(n_groups, features.shape[1], dtype=torch.float64)
    for start in range(0, len(row), ROWS):
        some = slice(start, start + ROWS)
        sums.index_add_(0, torch.from_numpy(group[some]), rows_of(features, row[some]).cpu().double())
    return sums


def _over(sums: Tensor, sizes: I64) -> Tensor:
    return (sums / torch.from_numpy(sizes)[:, None].clamp(min=1)).to(torch.float32)


class ReferenceAlignment(Alignment):
    """(F + w_cu + p_ca) / 3 enters the smoothing as the anchor's node; where the label is not known, F does."""

    label_chosen: ClassVar[bool] = True

    def grounds(self, graph: HierarchyGraph) -> Grounds:
        return ReferencePrototypes(graph)

    def unseen(self, features: Tensor, prototypes: Tensor, kept: Tensor | None) -> Pair:
        return features, features

    def before(self, own: Tensor, prototypes: Pair) -> Tensor:
        return (own + prototypes[0] + prototypes[1]) / 3

    def after(self, smoothed: Tensor, prototypes: Pair) -> Tensor:
        return smoothed
