"""Several labels an image: average precision, precision and recall at k."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np

from csrms_dist.basics.arrays import F32, F64, I64, Bools
from csrms_dist.labels import Membership

K_BEST = 5


def precision_recall_at(scores: F32, membership: Membership, k: int) -> tuple[float, float]:
    """P@k and R@k: of the k most probable classes the share that is the image's, and the share of its labels among
    them; means over the images that have labels. k is at most K."""
    labels = np.diff(membership.indptr)
    rows = np.flatnonzero(labels > 0)
    if not len(rows):
        return 0.0, 0.0
    k = min(k, scores.shape[1])
    best = np.argsort(-scores[rows], axis=1, kind="stable")[:, :k]
    found = membership[np.repeat(rows, k), best.ravel()].reshape(len(rows), k).sum(axis=1)
    found = np.asarray(found, np.float64)
    return float((found / k).mean()), float((found / labels[rows]).mean())


class Ranking:
    """The images of one class in falling order of score, ready for weighted average precision."""

    def __init__(self, scores: F32, positive: Bools) -> None:
        self.order = np.argsort(-scores, kind="stable")
        ranked = scores[self.order]
        self.positive = positive[self.order].astype(np.float64)
        # Images of equal score stand at one threshold: its precision counts for all of them.
        ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
        self.end = ends[np.searchsorted(ends, np.arange(len(ranked)))]

    def dealt(self, positive: Bools) -> Ranking:
        """The same order of the images, with other ones positive."""
        other = copy(self)
        other.positive = positive[self.order].astype(np.float64)
        return other

    def average_precision(self, weight: F64) -> float:
        """Sum over thresholds of (recall gained) x precision; NaN without a positive of positive weight."""
        w = weight[self.order]
        hits = w * self.positive
        total = hits.sum()
        if total == 0:
            return float("nan")
        precision = np.cumsum(hits)[self.end] / np.maximum(np.cumsum(w)[self.end], 1e-300)
        return float((hits * precision).sum() / total)


def average_precisions(scores: F32, membership: Membership) -> F64:
    """(K,) average precision of each class, NaN for a class without an image.

    Equal to that of a `Ranking` with equal weights, from the ranks of the class's own images alone, which is faster.
    """
    by_class = membership.tocsc()
    found = np.full(scores.shape[1], np.nan)
    for k in np.flatnonzero(np.diff(by_class.indptr)).tolist():
        column = np.sort(scores[:, k])
        own = np.sort(scores[by_class.indices[by_class.indptr[k] : by_class.indptr[k + 1]], k])
        # Images of equal score stand at one threshold: its precision counts for all of them.
        answered = len(column) - np.searchsorted(column, own)
        found[k] = ((len(own) - np.searchsorted(own, own)) / answered).mean()
    return found


def ranking_of(scores: F32, by_class: Any, k: int) -> Ranking:
    """The ranking by class k; by_class: the membership (N, K) as CSC."""
    positive = np.zeros(len(scores), np.bool_)
    positive[by_class.indices[by_class.indptr[k] : by_class.indptr[k + 1]]] = True
    return Ranking(scores[:, k], positive)


def mean_of_known(values: F64) -> float:
    """Mean of what is not NaN; 0 when nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def known_precisions(scores: F32, membership: Membership, unseen: I64) -> F64:
    """`average_precisions`, 0 for a class with images that training never saw: nothing was learnt of it."""
    found = average_precisions(scores, membership)
    found[unseen] = np.where(np.isnan(found[unseen]), np.nan, 0.0)
    return found


def mean_average_precision(scores: F32, membership: Membership, unseen: I64) -> float:
    """mAP over the classes that have images."""
    return mean_of_known(known_precisions(scores, membership, unseen))


def precision_at_1(scores: F32, membership: Membership, unseen: I64) -> float:
    """P@1, see `precision_recall_at`."""
    return precision_recall_at(scores, membership, 1)[0]


def recall_at_1(scores: F32, membership: Membership, unseen: I64) -> float:
    """R@1, see `precision_recall_at`."""
    return precision_recall_at(scores, membership, 1)[1]


def precision_at_5(scores: F32, membership: Membership, unseen: I64) -> float:
    """P@5, see `precision_recall_at`."""
    return precision_recall_at(scores, membership, K_BEST)[0]


def recall_at_5(scores: F32, membership: Membership, unseen: I64) -> float:
    """R@5, see `precision_recall_at`."""
    return precision_recall_at(scores, membership, K_BEST)[1]
