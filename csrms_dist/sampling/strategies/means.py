"""Pattern means, and the pattern of the nearest mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from csrms_dist.basics.arrays import F64, I64, Floats
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.distances import EXCLUDED, blocks, nearest_keys, normalised, positions, squared_distances

_CANCELLED = 1e-12
"""A mean of unit vectors below this is rounding."""


def pattern_means(graph: HierarchyGraph, features: Floats) -> F64:
    """(J, D) float64: the mean of each pattern's L2-normalised members, L2-normalised.

    Zero for an empty pattern, and for one whose members cancel: what rounding leaves of their mean has no direction.
    """
    means = np.zeros((graph.n_patterns, features.shape[1]), dtype=np.float64)
    for pattern in range(graph.n_patterns):
        rows = graph.members(pattern)
        for part in blocks(len(rows), features.shape[1]):
            means[pattern] += normalised(features[rows[part]]).sum(axis=0)
        means[pattern] /= max(1, len(rows))
    means[np.abs(means).max(axis=1, initial=0.0) < _CANCELLED] = 0.0
    return normalised(means)


def nearest_patterns(graph: HierarchyGraph, features: Floats, vectors: npt.ArrayLike) -> I64:
    """Vectors (Q, D) -> (Q,) int64: the pattern of the nearest mean, ties the lower index; empty patterns left out."""
    values = np.asarray(vectors)
    means = pattern_means(graph, features)
    found = np.zeros(len(values), dtype=np.int64)
    for part in blocks(len(values), graph.n_patterns):
        keys = nearest_keys(squared_distances(normalised(values[part]), means))
        keys[:, graph.sizes == 0] = EXCLUDED
        found[part] = positions(keys.min(axis=1))
    return found
