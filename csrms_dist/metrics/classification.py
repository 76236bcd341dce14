"""One label an image: accuracy, top-5, confusion. Scores are (N, K) class probabilities, membership (N, K) 0/1 CSR."""

from __future__ import annotations

from typing import Any

import numpy as np

from csrms_dist.basics.arrays import F32, F64, I64, Bools, Floats
from csrms_dist.labels import Membership, single_labels

CONFUSION_CLASSES = 1000
"""A confusion matrix of more classes is left out of the metrics: it would be larger than the predictions."""

TOP = 5
STEP = 4096
"""Images whose classes are compared at a time."""


def top_hits(scores: Floats, membership: Membership) -> Bools:
    """(N,) whether the most probable class is the image's, or one of its own; ties go to the lower class."""
    if not len(scores):
        return np.zeros(0, np.bool_)  # SciPy does not index nothing
    hits: Bools = np.asarray(membership[np.arange(len(scores)), scores.argmax(axis=1)]).ravel() > 0
    return hits


def top_accuracy(scores: Floats, membership: Membership) -> float:
    """Share of the images with a label whose most probable class is one of theirs: accuracy, or precision@1."""
    labelled = np.diff(membership.indptr) > 0
    return float(top_hits(scores, membership)[labelled].mean()) if labelled.any() else 0.0


def accuracy(scores: Floats, membership: Membership, unseen: I64) -> float:
    """`top_accuracy`; classes that training never saw are never answered."""
    return top_accuracy(scores, membership)


def top_5(scores: F32, membership: Membership, unseen: I64) -> float:
    """Share of the images with a label whose class is among the five most probable; ties go to the lower class.

    NaN of five classes or fewer, where it would be 1 whatever is answered, and without an image. A class that training
    never saw is never among them.
    """
    k, rows = scores.shape[1], np.repeat(np.arange(len(scores)), np.diff(membership.indptr))
    if k <= TOP or not len(rows):
        return float("nan")
    best = np.zeros(len(scores), np.bool_)
    for start in range(0, len(rows), STEP):
        row, label = rows[start : start + STEP], membership.indices[start : start + STEP, None]
        others, own = scores[row], scores[row, label[:, 0]][:, None]
        before = (others > own) | ((others == own) & (np.arange(k) < label))
        best[row[(before.sum(axis=1) < TOP) & ~np.isin(label[:, 0], unseen)]] = True
    return float(best[np.diff(membership.indptr) > 0].mean())


def confusion(scores: F32, membership: Membership) -> I64:
    """(K, K) counts of single-label images: row the true class, column the most probable one."""
    k = scores.shape[1]
    cells = single_labels(membership) * k + scores.argmax(axis=1)
    return np.bincount(cells, minlength=k * k).reshape(k, k)


def class_accuracies(matrix: I64) -> F64:
    """(K,) share of each class's images that were answered with it, NaN for a class without one."""
    totals = matrix.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(totals > 0, np.diag(matrix) / np.maximum(totals, 1), np.nan)


def imbalance(membership: Membership) -> dict[str, Any]:
    """Images of each class, the largest and smallest class, and their ratio (None when the smallest is empty)."""
    counts = np.bincount(membership.indices, minlength=membership.shape[1])
    largest, smallest = int(counts.max()), int(counts.min())
    ratio = largest / smallest if smallest else None
    return {"counts": counts.tolist(), "largest": largest, "smallest": smallest, "ratio": ratio}
