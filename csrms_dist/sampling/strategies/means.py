"""Pattern means, and the pattern of the nearest mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from csrms_dist.basics.arrays import F64, I64, Floats
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.distances import COSINE, EXCLUDED, Distance, blocks, distances, nearest_keys, positions


def pattern_means(graph: HierarchyGraph, features: Floats, distance: Distance = COSINE) -> F64:
    """(J, D) float64: the mean of each pattern's members, as the distance prepares vectors: by default L2-normalised.

    Zero for an empty pattern, and by default for one whose members cancel: what rounding leaves of their mean has no
    direction.
    """
    means = np.zeros((graph.n_patterns, features.shape[1]), dtype=np.float64)
    for pattern in range(graph.n_patterns):
        rows = graph.members(pattern)
        for part in blocks(len(rows), features.shape[1]):
            means[pattern] += distance.prepared(features[rows[part]]).sum(axis=0)
        means[pattern] /= max(1, len(rows))
    return distance.middle(means)


def nearest_patterns(
    graph: HierarchyGraph,
    features: Floats,
    vectors: npt.ArrayLike,
    distance: Distance = COSINE,
    means: F64 | None = None,
) -> I64:
    """Vectors (Q, D) -> (Q,) int64: the pattern of the nearest mean, ties the lower index; empty patterns left out.

    means: `pattern_means` by the same distance, where they are known already.
    """
    values = np.asarray(vectors)
    middles = pattern_means(graph, features, distance) if means is None else means
    found = np.zeros(len(values), dtype=np.int64)
    for part in blocks(len(values), graph.n_patterns):
        keys = nearest_keys(distances(distance.prepared(values[part]), middles, distance))
        keys[:, graph.sizes == 0] = EXCLUDED
        found[part] = positions(keys.min(axis=1))
    return found
