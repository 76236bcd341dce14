"""Groups of images, classes or patterns: their accuracies, and the mean over the worst tenth of the groups.

The worst are chosen by these very images, so their mean is below what the same groups have on others, the more so the
fewer images a group has. Comparing models on the same images is what it is for.
"""

from __future__ import annotations

import numpy as np

from csrms_dist.basics.arrays import F32, F64, I64, Bools
from csrms_dist.labels import Membership
from csrms_dist.metrics.classification import top_hits
from csrms_dist.metrics.ranking import known_precisions


def shares_of_groups(hits: Bools, group: I64, groups: int) -> tuple[F64, I64]:
    """((G,) share of each group's images that are hits, NaN without an image; (G,) its images) of (N,) images."""
    number = np.bincount(group, minlength=groups)
    with np.errstate(invalid="ignore"):
        return np.bincount(group, weights=hits, minlength=groups) / number, number


def mean_of_groups(values: F64) -> float:
    """Mean of what is not NaN; NaN when nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def worst_tenth(values: F64) -> float:
    """Mean of the smallest tenth, rounded up, of what is not NaN; NaN when nothing is."""
    known = np.sort(values[~np.isnan(values)])
    return mean_of_groups(known[: -(-len(known) // 10)])


def _class_shares(scores: F32, membership: Membership) -> F64:
    """(K,) accuracy of each class over its images, NaN without one."""
    rows = np.repeat(np.arange(len(scores)), np.diff(membership.indptr))
    hits = scores.argmax(axis=1)[rows] == membership.indices
    return shares_of_groups(hits, membership.indices.astype(np.int64), membership.shape[1])[0]


def mean_of_classes(scores: F32, membership: Membership, unseen: I64) -> float:
    """Mean over the classes with an image of their accuracy, also called balanced accuracy."""
    return mean_of_groups(_class_shares(scores, membership))


def worst_classes(scores: F32, membership: Membership, unseen: I64) -> float:
    """Mean accuracy over the worst tenth of the classes with an image."""
    return worst_tenth(_class_shares(scores, membership))


def worst_classes_precision(scores: F32, membership: Membership, unseen: I64) -> float:
    """Mean average precision over the worst tenth of the classes with an image; 0 of one that training never saw."""
    return worst_tenth(known_precisions(scores, membership, unseen))


def pattern_shares(scores: F32, membership: Membership, pattern: I64, patterns: int) -> tuple[F64, I64]:
    """Accuracy, or precision@1, of each pattern, NaN without an image, and its images: (J,) each.

    pattern: (N,) of the images, -1 for none. Images without a label are left out.
    """
    counted = (pattern >= 0) & (np.diff(membership.indptr) > 0)
    return shares_of_groups(top_hits(scores, membership)[counted], pattern[counted], patterns)
