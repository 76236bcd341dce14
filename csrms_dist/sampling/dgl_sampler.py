"""The sampler through DGL, and the one place where DGL is imported.

The hierarchy with its candidates is a heterograph: node types instance, pattern and class; edge types positive and
negative (candidate -> anchor), in_pattern, has_label, looks_like. A draw is a graph as small as the batch: each
anchor's candidates without those that certainly are not drawn, this epoch's keys on them, from which
dgl.sampling.select_topk chooses: it sorts each list in full, with a call a comparison, so it is given few. What the
hierarchy says of what is drawn is looked up in the heterograph. A batch costs about the same however many rows there
are, and as nothing in the large graph changes, batches may be drawn from several threads.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.ranges import ranges
from csrms_dist.errors import require
from csrms_dist.hierarchy.csr import stored_rows
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.hierarchy.look_alikes import look_alikes
from csrms_dist.sampling.candidates import Candidates
from csrms_dist.sampling.class_aware import (
    HAS_LABEL,
    IN_PATTERN,
    LOOKS_LIKE,
    ClassAwareSubgraph,
    LocalEdges,
    check_hierarchy,
    compact,
    gather,
    needed,
)
from csrms_dist.sampling.drawing import Keyed, keyed
from csrms_dist.sampling.protocol import check_anchors, check_sizes
from csrms_dist.sampling.subgraph import BatchSubgraph, Edges, repeat

if TYPE_CHECKING:
    from dgl import DGLGraph
    from torch import Tensor

_INSTANCE, _PATTERN, _CLASS = "instance", "pattern", "class"
_KEY, _WEIGHT = "key", "weight"
_GRAPHBOLT = "dgl.graphbolt"


def require_dgl() -> tuple[ModuleType, ModuleType]:
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
    hierarchy: of these rows, for `class_aware`.

    Raises MissingDependencyError where DGL is not installed.

    Notes
    -----
    DGL does not say which of two equal keys it keeps. Keys have 52 bits, so two of 40 candidates agree once in 10^13.
    Small weights press keys together until they agree, so where there are weights DGL gets the rank of each key.
    """

    def __init__(
        self,
        candidates: Mapping[str, Candidates],
        sizes: Mapping[str, int],
        seed: int,
        hierarchy: HierarchyGraph | None = None,
    ) -> None:
        self._dgl, self._torch = require_dgl()
        self._n_rows = check_sizes(candidates, sizes)
        check_hierarchy(hierarchy, self._n_rows)
        self._candidates, self._sizes, self._seed = dict(candidates), dict(sizes), int(seed)
        self._hierarchy = hierarchy

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._candidates, self._sizes, self._seed, self._hierarchy)

    @cached_property
    def graph(self) -> DGLGraph:
        """The hierarchy with its candidates as a DGL heterograph, made when it is first asked for.

        Node types instance (N), pattern (J), class (K). Edge types: those of the candidates, from candidate to anchor,
        `in_pattern`, `has_label`, and `looks_like` with edata `weight` (E,) float64. It takes 32 bytes a row beside the
        candidates, whose arrays it shares. Raises ConfigError where the sampler has no hierarchy.
        """
        hierarchy, torch = needed(self._hierarchy), self._torch
        every, labels, alike = np.arange(hierarchy.n_rows), hierarchy.membership, look_alikes(hierarchy)
        likeness = np.searchsorted(alike.source, np.arange(hierarchy.n_classes + 1))
        relations: dict[tuple[str, str, str], Any] = {
            (_INSTANCE, name, _INSTANCE): self._sparse("csc", self._of_all_rows(some.indptr), some.neighbours)
            for name, some in self._candidates.items()
        }
        relations |= {
            (_INSTANCE, IN_PATTERN, _PATTERN): (self._shared(every), self._shared(hierarchy.pattern)),
            (_INSTANCE, HAS_LABEL, _CLASS): (self._shared(stored_rows(labels)), self._shared(labels.indices)),
            (_CLASS, LOOKS_LIKE, _CLASS): self._sparse("csr", likeness, alike.target),
        }
        sizes = {_INSTANCE: hierarchy.n_rows, _PATTERN: hierarchy.n_patterns, _CLASS: hierarchy.n_classes}
        graph = self._dgl.heterograph(relations, num_nodes_dict=sizes)
        graph.edges[LOOKS_LIKE].data[_WEIGHT] = torch.from_numpy(alike.weight)
        return graph

    def _sparse(
        self, kind: str, indptr: npt.NDArray[np.integer], indices: npt.NDArray[np.integer]
    ) -> tuple[str, tuple[Tensor, Tensor, Tensor]]:
        in_order = self._torch.zeros(0, dtype=self._torch.int64)
        return kind, (self._shared(indptr), self._shared(indices), in_order)

    def _of_all_rows(self, indptr: I64) -> I64:
        """Where candidates begin, of every row of the hierarchy: rows behind the last anchor have none."""
        more = needed(self._hierarchy).n_rows + 1 - len(indptr)
        return np.concatenate([indptr, np.full(more, indptr[-1])]) if more else indptr

    def _shared(self, array: npt.NDArray[np.integer]) -> Tensor:
        """A tensor over the memory of an int64 array; torch takes only writable arrays without a warning."""
        whole = np.asarray(array, np.int64)
        shared: Tensor = self._torch.from_numpy(whole if whole.flags.writeable else np.array(whole))
        return shared

    def sample(self, anchors: npt.NDArray[np.integer], epoch: int) -> BatchSubgraph:
        """See `Sampler.sample`."""
        rows = check_anchors(anchors, self._n_rows)
        distinct, inverse = np.unique(rows, return_inverse=True)
        drawn = self._draw(distinct, epoch)
        return BatchSubgraph(rows, {name: repeat(edges, len(distinct), inverse) for name, edges in drawn.items()})

    def _draw(self, anchors: I64, epoch: int) -> dict[str, Edges]:
        """Edges of distinct anchors."""
        edges = {}
        for name, some in self._candidates.items():
            few = keyed(some, anchors, self._seed, epoch).narrowed(self._sizes[name])
            place, anchor = self._select(few, self._sizes[name], ties=some.weight is not None)
            edges[name] = Edges(anchor, few.rows[place])
        return edges

    def _select(self, few: Keyed, size: int, *, ties: bool) -> tuple[I64, I64]:
        """The `size` largest keys of each anchor, in order: (place in `few` (E,), anchor (E,)).

        A graph of one node type is made in a sixth of the time of one with two. Its node a is anchor a, and as source
        the candidate at place a.
        """
        torch, n_anchors, n_places = self._torch, len(few.first) - 1, len(few.rows)
        n_nodes = max(n_anchors, n_places)
        indptr = np.full(n_nodes + 1, n_places)
        indptr[: n_anchors + 1] = few.first
        batch = self._dgl.graph(self._sparse("csc", indptr, np.arange(n_places)), num_nodes=n_nodes)
        keys = -few.ranks().astype(np.float64) if ties else few.keys
        batch.edata[_KEY] = torch.from_numpy(keys)
        chosen = self._dgl.sampling.select_topk(batch, size, _KEY, nodes=torch.arange(n_anchors), copy_ndata=False)
        place, anchor = chosen.edges(order="eid")
        return place.numpy(), anchor.numpy()

    def class_aware(self, anchors: npt.NDArray[np.integer], epoch: int) -> ClassAwareSubgraph:
        """See `Sampler.class_aware`."""
        graph, hierarchy = self.graph, needed(self._hierarchy)
        rows = check_anchors(anchors, self._n_rows)
        distinct, inverse = np.unique(rows, return_inverse=True)
        drawn = self._draw(distinct, epoch)
        found = gather(distinct, inverse, drawn)
        # Edges in the order of their sources are found by their numbers in a third of the time of out_edges.
        start = hierarchy.membership.indptr[found.instances]
        carrier, labels = ranges(start, hierarchy.membership.indptr[found.instances + 1] - start)
        patterns, in_pattern = compact(self._targets(IN_PATTERN, found.instances), hierarchy.n_patterns)
        classes, has_label = compact(self._targets(HAS_LABEL, labels), hierarchy.n_classes)
        alike = self._dgl.node_subgraph(graph[_CLASS, LOOKS_LIKE, _CLASS], self._torch.from_numpy(classes))
        source, target = alike.edges(order="eid")
        local = found.local | {
            IN_PATTERN: LocalEdges(np.arange(len(found.instances)), in_pattern),
            HAS_LABEL: LocalEdges(carrier, has_label),
            LOOKS_LIKE: LocalEdges(source.numpy(), target.numpy(), alike.edata[_WEIGHT].numpy()),
        }
        edges = {name: repeat(some, len(distinct), inverse) for name, some in drawn.items()}
        return ClassAwareSubgraph(rows, edges, found.instances, patterns, classes, found.places, local)

    def _targets(self, edge_type: str, numbers: I64) -> I64:
        """Where some edges lead, by their numbers."""
        found: I64 = self.graph.find_edges(self._torch.from_numpy(numbers), etype=edge_type)[1].numpy()
        return found
