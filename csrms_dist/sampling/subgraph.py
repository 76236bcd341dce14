"""The batch-level sub-graph that a sampler returns (CSRMS sec. 4.2): topology only, as frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from csrms_dist.basics.arrays import I64, Bools
from csrms_dist.basics.ranges import ranges
from csrms_dist.errors import DataError

POSITIVE, NEGATIVE = "positive", "negative"


@dataclass(frozen=True, eq=False)
class Edges:
    """E edges of one type, sorted by (anchor, rank).

    anchor: (E,) int64, position in the batch. neighbour: (E,) int64, row of the hierarchy. An anchor without edges is
    normal: a class of one image has no positives, a data set of one class no negatives.
    """

    anchor: I64
    neighbour: I64

    def __len__(self) -> int:
        return len(self.anchor)


@dataclass(frozen=True, eq=False)
class BatchSubgraph:
    """A batch and its sampled neighbours. anchors: (B,) int64, rows of the hierarchy. edges: by type name."""

    anchors: I64
    edges: Mapping[str, Edges]

    def __len__(self) -> int:
        return len(self.anchors)

    def dense(self, edge_type: str, width: int) -> tuple[I64, Bools]:
        """The edges of one type as a rectangle.

        Returns (neighbours (B, width) int64 in rank order, mask (B, width) bool, True at an edge). The padding is row
        0, a legal index, so gather first and mask after. Of an anchor with more than `width` edges the first are kept.
        Raises DataError when the sub-graph has no edges of that type.
        """
        edges = self.edges.get(edge_type)
        if edges is None:
            raise DataError(
                f"edge type {edge_type!r}", got="a batch sub-graph without it", expected=f"one of {sorted(self.edges)}"
            )
        rank = np.arange(len(edges)) - np.searchsorted(edges.anchor, edges.anchor, side="left")
        kept = rank < width
        neighbours = np.zeros((len(self), width), dtype=np.int64)
        mask = np.zeros((len(self), width), dtype=np.bool_)
        neighbours[edges.anchor[kept], rank[kept]] = edges.neighbour[kept]
        mask[edges.anchor[kept], rank[kept]] = True
        return neighbours, mask


def repeat(edges: Edges, n_distinct: int, inverse: I64) -> Edges:
    """Edges of the distinct anchors -> of the batch, whose anchor b is distinct anchor inverse[b]."""
    if n_distinct == len(inverse) and np.array_equal(inverse, np.arange(n_distinct)):
        return edges
    indptr = np.searchsorted(edges.anchor, np.arange(n_distinct + 1))
    anchor, place = ranges(indptr[inverse], np.diff(indptr)[inverse])
    return Edges(anchor, edges.neighbour[place])
