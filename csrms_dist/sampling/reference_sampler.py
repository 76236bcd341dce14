"""The sampler in NumPy and one compiled loop: what the others must equal, and what runs where DGL is not installed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.ranges import ranges
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.hierarchy.look_alikes import LookAlikes, look_alikes
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
from csrms_dist.sampling.drawing import keyed
from csrms_dist.sampling.protocol import check_anchors, check_sizes
from csrms_dist.sampling.subgraph import BatchSubgraph, repeat


class ReferenceSampler:
    """Of the candidates of each anchor those with the largest keys.

    Parameters
    ----------
    candidates: by edge type, for the same rows.
    sizes: how many to draw, by edge type: {"positive": n, "negative": m}.
    seed: with the epoch and the anchor it decides everything.
    hierarchy: of these rows, for `class_aware`.
    """

    def __init__(
        self,
        candidates: Mapping[str, Candidates],
        sizes: Mapping[str, int],
        seed: int,
        hierarchy: HierarchyGraph | None = None,
    ) -> None:
        self._n_rows = check_sizes(candidates, sizes)
        check_hierarchy(hierarchy, self._n_rows)
        self._candidates, self._sizes, self._seed = dict(candidates), dict(sizes), int(seed)
        self._hierarchy = hierarchy

    def sample(self, anchors: npt.NDArray[np.integer], epoch: int) -> BatchSubgraph:
        """See `Sampler.sample`."""
        rows = check_anchors(anchors, self._n_rows)
        drawn = {
            name: keyed(some, rows, self._seed, epoch).first_of(self._sizes[name])
            for name, some in self._candidates.items()
        }
        return BatchSubgraph(rows, drawn)

    def class_aware(self, anchors: npt.NDArray[np.integer], epoch: int) -> ClassAwareSubgraph:
        """See `Sampler.class_aware`."""
        graph = needed(self._hierarchy)
        rows = check_anchors(anchors, self._n_rows)
        distinct, inverse = np.unique(rows, return_inverse=True)
        drawn = self.sample(distinct, epoch).edges
        found = gather(distinct, inverse, drawn)
        every = np.arange(len(found.instances))
        patterns, pattern = compact(np.asarray(graph.pattern[found.instances], np.int64), graph.n_patterns)
        start = graph.membership.indptr[found.instances]
        position, place = ranges(start, graph.membership.indptr[found.instances + 1] - start)
        classes, carried = compact(np.asarray(graph.membership.indices[place], np.int64), graph.n_classes)
        local = found.local | {
            IN_PATTERN: LocalEdges(every, pattern),
            HAS_LABEL: LocalEdges(position, carried),
            LOOKS_LIKE: _among(self._alike, classes, graph.n_classes),
        }
        edges = {name: repeat(some, len(distinct), inverse) for name, some in drawn.items()}
        return ClassAwareSubgraph(rows, edges, found.instances, patterns, classes, found.places, local)

    @cached_property
    def _alike(self) -> LookAlikes:
        return look_alikes(needed(self._hierarchy))


def _among(alike: LookAlikes, classes: I64, n_classes: int) -> LocalEdges:
    """The pairs of look-alikes that lie among some classes, ascending ones."""
    local = np.full(n_classes, -1)
    local[classes] = np.arange(len(classes))
    source, target = local[alike.source], local[alike.target]
    kept = (source >= 0) & (target >= 0)
    return LocalEdges(source[kept], target[kept], alike.weight[kept])
