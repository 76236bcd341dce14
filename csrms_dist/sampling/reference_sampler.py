"""The sampler in plain NumPy: what the others must equal, and what runs where DGL is not installed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from csrms_dist.basics.arrays import I64
from csrms_dist.sampling.candidates import Candidates
from csrms_dist.sampling.protocol import check_anchors, check_sizes, edge_keys
from csrms_dist.sampling.subgraph import BatchSubgraph, Edges


class ReferenceSampler:
    """Sort the candidates of each anchor by their key and keep the first.

    Parameters
    ----------
    candidates: by edge type, for the same rows.
    sizes: how many to draw, by edge type: {"positive": n, "negative": m}.
    seed: with the epoch and the anchor it decides everything.
    """

    def __init__(self, candidates: Mapping[str, Candidates], sizes: Mapping[str, int], seed: int) -> None:
        self._n_rows = check_sizes(candidates, sizes)
        self._candidates, self._sizes, self._seed = dict(candidates), dict(sizes), int(seed)

    def sample(self, anchors: npt.NDArray[np.integer], epoch: int) -> BatchSubgraph:
        """See `Sampler.sample`."""
        rows = check_anchors(anchors, self._n_rows)
        edges = {name: self._draw(rows, epoch, some, self._sizes[name]) for name, some in self._candidates.items()}
        return BatchSubgraph(rows, edges)

    def _draw(self, anchors: I64, epoch: int, candidates: Candidates, size: int) -> Edges:
        position, edge = candidates.edges(anchors)
        neighbour = np.asarray(candidates.neighbours[edge])
        weight = None if candidates.weight is None else candidates.weight[edge]
        keys = edge_keys(self._seed, epoch, neighbour, anchors[position], candidates.priority[edge], weight)
        order = np.lexsort((neighbour, -keys, position))
        rank = np.arange(len(position)) - np.searchsorted(position, position, side="left")
        order = order[rank < size]
        return Edges(position[order], neighbour[order])
