"""Features of neighbours from the feature bank: one epoch old, without gradient, at no cost."""

from __future__ import annotations

from torch import Tensor

from csrms_dist.basics.arrays import I64, Bools
from csrms_dist.methods.csrms.encoding.encoding import NONE, Encoded
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.sampling.subgraph import BatchSubgraph


class Bank:
    def more_rows(self, rows: I64, subgraph: BatchSubgraph) -> I64:
        return NONE

    def of(
        self, subgraph: BatchSubgraph, edge_type: str, index: I64, mask: Bools, encoded: Encoded, bank: FeatureBank
    ) -> Tensor:
        return bank.read(index)
