"""The section `sampling`."""

from __future__ import annotations

from dataclasses import dataclass

from csrms_dist.basics.settings import Settings, setting
from csrms_dist.sampling.strategies import DISTANCES, NEGATIVES, POSITIVES


@dataclass(frozen=True)
class SamplingSettings(Settings):
    positives: str = setting(
        "dominant_far_half",
        words=tuple(POSITIVES),
        own="csrms_dist.sampling.strategies.strategy:KIND",
        doc="dominant_far is eq. 5 verbatim (DC-posi of Table 4), other_cluster OC-posi, random_of_class Random-posi",
    )
    negatives: str = setting(
        "same_then_nearest",
        words=tuple(NEGATIVES),
        own="csrms_dist.sampling.strategies.strategy:KIND",
        doc="nearest_dominated is eq. 6 verbatim; same_pattern is SC-nega of Table 4, other_cluster OC-nega, "
        "random_other_class Random-nega",
    )
    n_positives: int = setting(10, "[1, 1000]", doc="n, positives of an anchor")
    n_negatives: int = setting(10, "[1, 1000]", doc="m, negatives of an anchor")
    pool: int = setting(40, "[1, 100000]", doc="candidates kept for each anchor, from which every epoch draws anew")
    distance: str = setting(
        "cosine",
        words=tuple(DISTANCES),
        doc="what ranks: the cosine, or the Euclidean distance of features as they are",
    )
