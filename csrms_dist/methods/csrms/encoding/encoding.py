"""The port of an encoding: which images a step encodes beside its own, and where a neighbour's feature is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from torch import Tensor

from csrms_dist.basics.arrays import I64, Bools
from csrms_dist.basics.lookup import Kind, takes
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.sampling.subgraph import BatchSubgraph

Draw = Callable[[str], tuple[Tensor, Tensor]]
"""An edge type -> features (b, n, D) of its neighbours and a mask (b, n)."""


class Encoded(NamedTuple):
    """Rows (b,) of this worker's batch and rows more (M,) that were encoded beside them; features (b + M, D) of all."""

    rows: I64
    more: I64
    features: Tensor


class Encoding(Protocol):
    """Made without arguments."""

    def more_rows(self, rows: I64, subgraph: BatchSubgraph) -> I64:
        """The rows (M,) that are encoded beside the rows (b,) of the batch."""
        ...

    def of(
        self, subgraph: BatchSubgraph, edge_type: str, index: I64, mask: Bools, encoded: Encoded, bank: FeatureBank
    ) -> Tensor:
        """Features (b, n, D) of the neighbours index (b, n) of an edge type; outside mask (b, n) they do not matter."""
        ...


KIND = Kind("a class of {} that is made without arguments", lambda value: isinstance(value, type) and takes(value, 0))
"""An encoding of a user's own."""

NONE: I64 = np.zeros(0, np.int64)
