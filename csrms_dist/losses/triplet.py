"""The triplet loss on the graph (Schroff et al., 2015): an anchor is to be nearer to positives than to negatives."""

from __future__ import annotations

from csrms_dist.losses.drawn_pairs import DrawnPairs


class Triplet(DrawnPairs):
    """Mean over all pairs of a positive p and a negative q of an anchor a of max(0, |a - p| - |a - q| + margin).

    Distances are Euclidean, between features of length 1. Triplets that keep the margin count as 0, so that the
    gradient fades as they become more. Arguments of a call: see `DrawnPairs`.
    """

    loss = "TripletMarginLoss"

    def __init__(self, *, margin: float = 0.2) -> None:
        super().__init__(margin=margin)
