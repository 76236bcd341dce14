"""The class-aware sub-graph of a batch (CSRMS sec. 4.2): anchors, drawn neighbours, patterns, classes, and all edges.

Topology only, as frozen arrays. The features of its nodes are whatever the caller has in the same order: rows of a
feature bank for `instances`, prototypes for `patterns`, class means for `classes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from csrms_dist.basics.arrays import F64, I64
from csrms_dist.errors import ConfigError, DataError
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.subgraph import BatchSubgraph, Edges

IN_PATTERN, HAS_LABEL, LOOKS_LIKE = "in_pattern", "has_label", "looks_like"


@dataclass(frozen=True, eq=False)
class LocalEdges:
    """E edges of one type. source, target: (E,) int64, positions in a sub-graph's arrays of nodes.

    weight: (E,) float64, or None where all edges weigh the same.
    """

    source: I64
    target: I64
    weight: F64 | None = None

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True, eq=False)
class ClassAwareSubgraph(BatchSubgraph):
    """A batch with its drawn neighbours, as `Sampler.sample` gives it, and what the hierarchy says of both.

    instances: (n,) int64, rows of the hierarchy, ascending: anchors and drawn neighbours, each once.
    patterns: (p,) int64, ascending: those of the instances.
    classes: (c,) int64, ascending: those that an instance carries.
    places: (B,) int64, where each anchor of the batch stands in `instances`.
    local: edges by type, between positions of these arrays. Drawn types (`positive`, `negative`): neighbour -> anchor,
        of each distinct anchor once, by (anchor, rank). `in_pattern`: instance -> pattern, by instance. `has_label`:
        instance -> class, by (instance, class). `looks_like`: class -> class, by (source, target), all that
        `hierarchy.look_alikes` found among `classes`, with its weight.
    """

    instances: I64
    patterns: I64
    classes: I64
    places: I64
    local: Mapping[str, LocalEdges]


@dataclass(frozen=True, eq=False)
class Gathered:
    """The instances of a sub-graph: fields as in `ClassAwareSubgraph`, `local` of the drawn types."""

    instances: I64
    places: I64
    local: dict[str, LocalEdges]


def gather(distinct: I64, inverse: I64, drawn: Mapping[str, Edges]) -> Gathered:
    """distinct: (D,) anchors, ascending. inverse: (B,) places in these of the batch's anchors. drawn: their edges."""
    parts = [distinct, *(edges.neighbour for edges in drawn.values())]
    # return_inverse makes it a sort; without, NumPy hashes, which takes six times as long
    instances, place = np.unique(np.concatenate(parts), return_inverse=True)
    places = np.split(place, np.cumsum([len(part) for part in parts[:-1]]))
    local = {
        name: LocalEdges(source, places[0][some.anchor])
        for (name, some), source in zip(drawn.items(), places[1:], strict=True)
    }
    return Gathered(instances, places[0][inverse], local)


def compact(values: I64, n: int) -> tuple[I64, I64]:
    """Whole numbers in 0..n-1 -> (the distinct ones, ascending; where each value is among these)."""
    present = np.zeros(n, np.bool_)
    present[values] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1)[values]


def check_hierarchy(hierarchy: HierarchyGraph | None, n_anchors: int) -> None:
    """Raises DataError where a hierarchy is of fewer rows than there are anchors with candidates."""
    if hierarchy is not None and hierarchy.n_rows < n_anchors:
        raise DataError(
            "the hierarchy of a sampler", got=f"{hierarchy.n_rows} rows",
            expected=f"the {n_anchors} of the candidates, or more",
            remedy="give the hierarchy that the candidates were made from",
        )  # fmt: skip


def needed(hierarchy: HierarchyGraph | None) -> HierarchyGraph:
    """Raises ConfigError where a sampler has none."""
    if hierarchy is None:
        raise ConfigError(
            "a class-aware sub-graph", got="a sampler without a hierarchy", expected="one that was made with it",
            remedy="make it as (candidates, sizes, seed, hierarchy)",
        )  # fmt: skip
    return hierarchy
