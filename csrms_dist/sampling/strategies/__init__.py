"""Class-aware graph sampling (CSRMS sec. 4.2): which rows may become the positives and negatives of an anchor.

One file is one strategy: a function of the type `strategy.Strategy` that yields pieces of a candidate list, which
`sampling.build` joins. It sees membership alone: two images are of the same class when they share a label, of another
class when they share none. A class *dominates* a pattern when the hierarchy gives it that role. Distances are
those of `sampling.distance`, ties go to the lower row.

A strategy of your own is named by 'module:function' where these names stand.
"""

_HERE = "csrms_dist.sampling.strategies"

POSITIVES = {
    "dominant_far_half": f"{_HERE}.dominant_far_half:dominant_far_half",
    "dominant_far": f"{_HERE}.dominant_far:dominant_far",
    "dominant_random": f"{_HERE}.dominant_random:dominant_random",
    "other_cluster": f"{_HERE}.positives_of_other_patterns:positives_of_other_patterns",
    "random_of_class": f"{_HERE}.random_of_class:random_of_class",
}
"""The strategies of `sampling.positives`, by name."""

NEGATIVES = {
    "same_then_nearest": f"{_HERE}.same_then_nearest:same_then_nearest",
    "nearest_dominated": f"{_HERE}.nearest_dominated:nearest_dominated",
    "same_pattern": f"{_HERE}.same_pattern:same_pattern",
    "other_cluster": f"{_HERE}.negatives_of_other_patterns:negatives_of_other_patterns",
    "random_other_class": f"{_HERE}.random_other_class:random_other_class",
}
"""The strategies of `sampling.negatives`, by name."""

DISTANCES = {
    "cosine": "csrms_dist.sampling.distances:cosine",
    "euclidean": "csrms_dist.sampling.distances:euclidean",
}
"""What ranks, the words of `sampling.distance`: each a function of the features (N, D) that gives a `Distance`."""
