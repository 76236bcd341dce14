"""The sampler through DGL: the only file that imports it.

The candidates are a heterograph in CSC form, one node type ("instance") and one edge type for each kind of candidate,
edges from candidate to anchor. A batch takes the in-edges of its anchors, makes of them a graph as small as the batch
with this epoch's keys on it, and lets dgl.sampling.select_topk choose. So a batch costs the same however many rows
there are, and as nothing in the large graph changes, batches may be drawn from several threads.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from csrms_dist.basics.arrays import F64, I64
from csrms_dist.errors import require
from csrms_dist.sampling.candidates import Candidates
from csrms_dist.sampling.protocol import check_anchors, check_sizes, edge_keys
from csrms_dist.sampling.subgraph import BatchSubgraph, Edges

if TYPE_CHECKING:
    from torch import Tensor

_NODE, _EDGE = "instance", "candidate"
_KEY = "key"
_GRAPHBOLT = "dgl.graphbolt"


def _require_dgl() -> tuple[ModuleType, ModuleType]:
    """(dgl, torch), DGL being 1.1.3 or 2.1.0.

    Without DGLBACKEND, DGL writes a configuration file to the home directory and prints. DGL 2.1 imports its part
    GraphBolt, whose libraries load with torch 2.2.1 at the newest. Nothing here uses it: an empty module stands for it.
    """
    os.environ.setdefault("DGLBACKEND", "pytorch")
    sys.modules.setdefault(_GRAPHBOLT, ModuleType(_GRAPHBOLT))
    return require("dgl"), require("torch")


class DglSampler:
    """The edges of `ReferenceSampler`, chosen by DGL.

    Parameters
    ----------
    candidates: by edge type, for the same rows. The graph shares their arrays, memory-mapped ones too.
    sizes: how many to draw, by edge type: {"positive": n, "negative": m}.
    seed: with the epoch and the anchor it decides everything.

    Raises MissingDependencyError where DGL is not installed.

    Notes
    -----
    DGL does not say which of two equal keys it keeps. Keys have 52 bits, so two of 40 candidates agree once in 10^13.
    Small weights press keys together until they agree, so where there are weights DGL gets the rank of each key.
    """

    def __init__(self, candidates: Mapping[str, Candidates], sizes: Mapping[str, int], seed: int) -> None:
        self._dgl, self._torch = _require_dgl()
        self._n_rows = check_sizes(candidates, sizes)
        self._candidates, self._sizes, self._seed = dict(candidates), dict(sizes), int(seed)
        torch = self._torch
        in_order = torch.zeros(0, dtype=torch.int64)
        relations = {
            (_NODE, name, _NODE): ("csc", (self._shared(some.indptr), self._shared(some.neighbours), in_order))
            for name, some in candidates.items()
        }
        self._graph = self._dgl.heterograph(relations, num_nodes_dict={_NODE: self._n_rows})

    def _shared(self, array: I64) -> Tensor:
        """A tensor over the memory of the array; torch takes only writable arrays without a warning."""
        shared: Tensor = self._torch.from_numpy(array if array.flags.writeable else np.array(array))
        return shared

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._candidates, self._sizes, self._seed)

    def sample(self, anchors: npt.NDArray[np.integer], epoch: int) -> BatchSubgraph:
        """See `Sampler.sample`."""
        rows = check_anchors(anchors, self._n_rows)
        distinct, inverse = np.unique(rows, return_inverse=True)
        drawn = self._draw(distinct, epoch)
        return BatchSubgraph(rows, {name: _repeat(edges, len(distinct), inverse) for name, edges in drawn.items()})

    def _draw(self, anchors: I64, epoch: int) -> dict[str, Edges]:
        """Edges of distinct anchors, ascending."""
        torch = self._torch
        seeds = torch.from_numpy(anchors)
        found = {name: self._in_edges(seeds, name) for name in self._candidates}
        keys = {name: self._keys(epoch, self._candidates[name], *of_type) for name, of_type in found.items()}
        position = {name: np.searchsorted(anchors, anchor) for name, (_, anchor) in found.items()}
        batch = self._dgl.heterograph(
            {
                (_EDGE, name, _NODE): (torch.arange(len(where)), torch.from_numpy(where))
                for name, where in position.items()
            },
            num_nodes_dict={_EDGE: max(map(len, position.values())), _NODE: len(anchors)},
        )
        for name in self._candidates:
            ranked = keys[name]
            if self._candidates[name].weight is not None:
                ranked = _ranks(ranked, self._candidates[name].neighbours[found[name][0]])
            batch.edges[name].data[_KEY] = torch.from_numpy(ranked)
        everyone = {_NODE: torch.arange(len(anchors))}
        chosen = self._dgl.sampling.select_topk(batch, self._sizes, _KEY, nodes=everyone, copy_ndata=False)
        edges = {}
        for name, some in self._candidates.items():
            kept = chosen.edges[name].data[self._dgl.EID].numpy()
            neighbour = np.asarray(some.neighbours[found[name][0][kept]])
            order = np.lexsort((neighbour, -keys[name][kept], position[name][kept]))
            edges[name] = Edges(position[name][kept][order], neighbour[order])
        return edges

    def _keys(self, epoch: int, some: Candidates, edge: I64, anchor: I64) -> F64:
        weight = None if some.weight is None else some.weight[edge]
        return edge_keys(self._seed, epoch, some.neighbours[edge], anchor, some.priority[edge], weight)

    def _in_edges(self, seeds: Tensor, name: str) -> tuple[I64, I64]:
        """(index into the candidates (E',), anchor row (E',)) of the edges into `seeds`."""
        edge = self._graph.in_edges(seeds, form="eid", etype=name).numpy()
        return edge, np.searchsorted(self._candidates[name].indptr, edge, side="right") - 1


def _ranks(keys: F64, neighbours: I64) -> F64:
    """Keys in the same order without ties: of equal ones the lower row has the larger rank."""
    ranks = np.empty(len(keys), np.float64)
    ranks[np.lexsort((neighbours, -keys))] = -np.arange(len(keys))
    return ranks


def _repeat(edges: Edges, n_distinct: int, inverse: I64) -> Edges:
    """Edges of the distinct anchors -> of the batch, whose anchor b is distinct anchor inverse[b]."""
    indptr = np.searchsorted(edges.anchor, np.arange(n_distinct + 1))
    whole = Candidates(indptr, edges.neighbour, np.zeros(0, dtype=np.uint8))
    position, edge = whole.edges(inverse)
    return Edges(position, edges.neighbour[edge])
