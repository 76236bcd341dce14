"""Each image of the batch's sub-graph is encoded once, with gradient; a neighbour that is an anchor is that anchor."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from csrms_dist.basics.arrays import I64, Bools
from csrms_dist.basics.devices import put
from csrms_dist.methods.csrms.encoding.encoding import NONE, Encoded
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.sampling.subgraph import BatchSubgraph


class Unique:
    """Among several workers each encodes the sub-graph of its own anchors."""

    def more_rows(self, rows: I64, subgraph: BatchSubgraph) -> I64:
        drawn = [edges.neighbour for edges in subgraph.edges.values()]
        return np.setdiff1d(np.concatenate([NONE, *drawn]), rows)

    def of(
        self, subgraph: BatchSubgraph, edge_type: str, index: I64, mask: Bools, encoded: Encoded, bank: FeatureBank
    ) -> Tensor:
        everyone = np.concatenate([encoded.rows, encoded.more])
        distinct, first = np.unique(everyone, return_index=True)
        place = np.where(mask, first[np.searchsorted(distinct, np.where(mask, index, everyone[0]))], 0)
        return encoded.features[put(place, encoded.features.device)]
