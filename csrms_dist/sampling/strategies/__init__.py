"""Class-aware graph sampling (CSRMS sec. 4.2): which rows may become the positives and negatives of an anchor.

One file is one strategy: a function of the type `strategy.Strategy` that yields pieces of a candidate list, which
`sampling.build` joins. It sees membership alone: two images are of the same class when they share a label, of another
class when they share none. A class *dominates* a pattern when the hierarchy gives it that role. Distances are Euclidean
on L2-normalised features, ties go to the lower row.

A strategy of your own is named by 'module:function' where these names stand.
"""

_HERE = "csrms_dist.sampling.strategies"

POSITIVES = {
    "dominant_far_half": f"{_HERE}.dominant_far_half:dominant_far_half",
    "dominant_far": f"{_HERE}.dominant_far:dominant_far",
}
"""The strategies of `sampling.positives`, by name."""

NEGATIVES = {
    "same_then_nearest": f"{_HERE}.same_then_nearest:same_then_nearest",
    "nearest_dominated": f"{_HERE}.nearest_dominated:nearest_dominated",
}
"""The strategies of `sampling.negatives`, by name."""
