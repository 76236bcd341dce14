"""Every neighbour is encoded for every anchor that draws it, with gradient: 1 + n + m images an anchor, as printed."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from csrms_dist.basics.arrays import I64, Bools
from csrms_dist.basics.devices import put
from csrms_dist.methods.csrms.encoding.encoding import NONE, Encoded
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.sampling.subgraph import BatchSubgraph


class Full:
    def more_rows(self, rows: I64, subgraph: BatchSubgraph) -> I64:
        return np.concatenate([NONE, *(edges.neighbour for edges in subgraph.edges.values())])

    def of(
        self, subgraph: BatchSubgraph, edge_type: str, index: I64, mask: Bools, encoded: Encoded, bank: FeatureBank
    ) -> Tensor:
        start = len(encoded.rows)
        for name, edges in subgraph.edges.items():
            if name == edge_type:
                break
            start += len(edges)
        rank = np.cumsum(mask).reshape(mask.shape) - 1  # edges are sorted by (anchor, rank), as the mask is
        place = np.where(mask, start + rank, 0)
        return encoded.features[put(place, encoded.features.device)]
