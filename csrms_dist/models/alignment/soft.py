"""The alignment without labels: after the smoothing, with prototypes of the patterns that an image is like."""

from __future__ import annotations

import torch
from torch import Tensor

from csrms_dist.basics.arrays import I64
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.models.alignment.alignment import Alignment, Grounds, Pair
from csrms_dist.models.prototypes import Nearest, PatternPrototypes, nearest_found

TEMPERATURE = 0.1


def memberships(found: Nearest, several: bool) -> Tensor:
    """(B, k): how much an image belongs to each of its k nearest patterns; found without its label, adds up to 1.

    A softmax of cos / TEMPERATURE; where an image may have several labels, and so lie between several patterns, a
    sigmoid of (cos - mean cos) / TEMPERATURE each, divided by their sum. All zero where there is no pattern.
    """
    there = found.mask
    cosine = found.similarity.masked_fill(~there, 0)
    if several:
        mean = cosine.sum(dim=1, keepdim=True) / there.sum(dim=1, keepdim=True).clamp(min=1)
        weight = there * torch.sigmoid((cosine - mean) / TEMPERATURE)
        return weight / weight.sum(dim=1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
    return (cosine / TEMPERATURE).masked_fill(~there, -torch.inf).softmax(dim=1).nan_to_num(0.0)


class SoftGrounds(Grounds):
    """The classes of the patterns, beside their means w_j.

    The prototype of class c is p_c = sum_j N_j^c w_j / sum_j N_j^c, and that of the classes of pattern j is
    sum_c share_j^c p_c, with shares that add up to 1 in a pattern. Of a training image both are made as if it were not
    there: it is taken out of the mean, the size and the counts of its pattern, so its label moves neither.

    counts (J, K) float32 in memory, for rows of it are looked up by batch.
    """

    def __init__(self, graph: HierarchyGraph, k: int, several: bool) -> None:
        self.k, self.several = k, several
        self.counts = torch.from_numpy(graph.counts.toarray()).to(torch.float32)

    def refresh(self, patterns: PatternPrototypes) -> None:
        self.patterns, self.counts = patterns, self.counts.to(patterns.device)
        self.sums = self.counts.T @ patterns.means
        self.class_sizes = self.counts.sum(dim=0)

    def kept(self) -> Tensor:
        return _shares(self.counts) @ (self.sums / self.class_sizes[:, None].clamp(min=1))

    def of_batch(self, features: Tensor, rows: I64 | None, membership: Tensor) -> Pair:
        found = self.patterns.nearest_found(features, rows, self.k)
        weight = memberships(found, self.several)
        cluster = (weight[:, :, None] * found.means).sum(dim=1)
        counts = self.counts[found.which]
        sums, sizes = self.sums, self.class_sizes.expand(len(features), -1)
        if found.own is not None:
            pattern, mean, _ = found.own
            its_own = found.which == pattern[:, None]
            counts = counts - its_own[:, :, None] * membership[:, None]
            sizes = sizes - membership
        share = (weight[:, :, None] * _shares(counts)).sum(dim=1)
        of_sum = share / sizes.clamp(min=1)
        label = of_sum @ sums
        if found.own is not None:
            with_it = self.counts[pattern]
            label = label - (of_sum * with_it).sum(dim=1, keepdim=True) * self.patterns.means[pattern]
            label = label + (of_sum * (with_it - membership)).sum(dim=1, keepdim=True) * mean
        return _or_own(features, weight, cluster), _or_own(features, share, label)


def _shares(counts: Tensor) -> Tensor:
    """(..., K) counts of classes -> shares that add up to 1, or zeros where nothing is counted."""
    return counts / counts.sum(dim=-1, keepdim=True).clamp(min=1)


def _or_own(features: Tensor, weight: Tensor, found: Tensor) -> Tensor:
    """Where nothing has a weight the own feature stands for the prototype."""
    return torch.where(weight.sum(dim=1, keepdim=True) > 0, found, features.detach())


class SoftAlignment(Alignment):
    """F_u = .5 F_g + .5 w_cu, F_a = .5 F_u + .5 p_ca (eq. 11-12), w_cu and p_ca being those of the k nearest patterns,
    each weighted by how much the image belongs to it: no label of the image is looked at, in training as at test."""

    def grounds(self, graph: HierarchyGraph) -> Grounds:
        return SoftGrounds(graph, self.k, self.several)

    def unseen(self, features: Tensor, prototypes: Tensor, kept: Tensor | None) -> Pair:
        if kept is None:
            raise ValueError("the soft alignment looks up the class prototypes that training kept, and there are none")
        found = nearest_found(features, prototypes, min(self.k, len(prototypes)), None)
        weight = memberships(found, self.several)[:, :, None]
        cluster, label = ((weight * some[found.which]).sum(dim=1) for some in (prototypes, kept))
        return cluster, label
