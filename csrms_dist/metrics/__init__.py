"""Metrics by name, a family a file; plain NumPy. Scores are (N, K) class probabilities, membership (N, K) 0/1 CSR.

A metric is a function (scores, membership, unseen) -> a number; unseen (U,) int64 are the classes that training never
saw. One of several labels an image says so in its entry. `evaluate.more_metrics` takes a user's own 'module:name'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Entry(NamedTuple):
    """place: the function, as 'module:name'. several: of data with several labels an image.

    headline: metrics.json has it by head, and the account at the end shows it; others stand under `more`.
    """

    place: str
    several: bool
    headline: bool = False


METRICS: Mapping[str, Entry] = {
    "accuracy": Entry("csrms_dist.metrics.classification:accuracy", False, headline=True),
    "top_5": Entry("csrms_dist.metrics.classification:top_5", False),
    "nll": Entry("csrms_dist.metrics.likelihood:negative_log_likelihood", False),
    "ece": Entry("csrms_dist.metrics.calibration:expected_calibration_error", False),
    "mean_of_classes": Entry("csrms_dist.metrics.groups:mean_of_classes", False),
    "worst_classes": Entry("csrms_dist.metrics.groups:worst_classes", False),
    "mAP": Entry("csrms_dist.metrics.ranking:mean_average_precision", True, headline=True),
    "P@1": Entry("csrms_dist.metrics.ranking:precision_at_1", True, headline=True),
    "R@1": Entry("csrms_dist.metrics.ranking:recall_at_1", True, headline=True),
    "P@5": Entry("csrms_dist.metrics.ranking:precision_at_5", True, headline=True),
    "R@5": Entry("csrms_dist.metrics.ranking:recall_at_5", True, headline=True),
    "label_set_nll": Entry("csrms_dist.metrics.likelihood:label_set_cost", True),
    "binary_ece": Entry("csrms_dist.metrics.calibration:binary_calibration_error", True),
    "worst_classes_mAP": Entry("csrms_dist.metrics.groups:worst_classes_precision", True),
}
