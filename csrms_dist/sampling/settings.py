"""The section `sampling`."""

from __future__ import annotations

from dataclasses import dataclass

from csrms_dist.basics.settings import Settings, setting

POSITIVE_STRATEGIES = ("dominant_far_half", "dominant_far")


NEGATIVE_STRATEGIES = ("same_then_nearest", "nearest_dominated")


@dataclass(frozen=True)
class SamplingSettings(Settings):
    positives: str = setting("dominant_far_half", words=POSITIVE_STRATEGIES, doc="dominant_far is eq. 5 verbatim")
    negatives: str = setting("same_then_nearest", words=NEGATIVE_STRATEGIES, doc="nearest_dominated is eq. 6 verbatim")
    n_positives: int = setting(10, "[1, 1000]", doc="n, positives of an anchor")
    n_negatives: int = setting(10, "[1, 1000]", doc="m, negatives of an anchor")
    pool: int = setting(40, "[1, 100000]", doc="candidates kept for each anchor, from which every epoch draws anew")
