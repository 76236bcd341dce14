"""The feature bank and the prototypes made from it, which the graph head and the relation losses look up."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from csrms_dist.basics.devices import put
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.models.alignment.alignment import Grounds
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.models.prototypes import PatternPrototypes
from csrms_dist.sampling.subgraph import BatchSubgraph


class Relations:
    """The bank and the patterns' prototypes, made anew from it after every epoch; no label is looked at.

    grounds: what an alignment looks up beside them, made anew with them; labels may choose it. targets: what a loss
    term looks up, chosen by labels.
    """

    grounds: Grounds | None = None
    targets: Grounds | None = None

    def __init__(self, graph: HierarchyGraph, bank: FeatureBank) -> None:
        self.bank = bank
        self.n_patterns = graph.n_patterns
        self.pattern = np.array(graph.pattern, dtype=np.int64)
        self.refresh()

    def refresh(self) -> None:
        """Make the prototypes anew from the bank's current generation."""
        self.patterns = PatternPrototypes(self.bank.current, self.pattern, self.n_patterns, self.bank.device)
        for looked_up in (self.grounds, self.targets):
            if looked_up is not None:
                looked_up.refresh(self.patterns)

    def aim(self, targets: Grounds) -> None:
        """Keep these as targets from now on."""
        self.targets = targets
        targets.refresh(self.patterns)

    def align(self, grounds: Grounds | None) -> None:
        """Keep these from now on."""
        self.grounds = grounds
        if grounds is not None:
            grounds.refresh(self.patterns)


def neighbours(subgraph: BatchSubgraph, edge_type: str, width: int, bank: FeatureBank) -> tuple[Tensor, Tensor]:
    """The bank's features of an edge type's neighbours: (B, width, D) and mask (B, width)."""
    index, mask = subgraph.dense(edge_type, width)
    return bank.read(index), put(mask, bank.device)
