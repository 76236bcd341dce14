"""What is measured, and how sure it is. Scores are (N, K) class probabilities, membership (N, K) 0/1 CSR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from csrms_dist.labels import Membership, single_labels

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

K_BEST = 5
MAP_WORK = 2 * 10**8
"""Scores that the bootstrap of a mean average precision may go through: bounds its time, not below 100 resamples."""
CONFUSION_CLASSES = 1000
"""A confusion matrix of more classes is left out of the metrics: it would be larger than the predictions."""


def top_hits(scores: npt.NDArray[np.floating], membership: Membership) -> Bools:
    """(N,) whether the most probable class is the image's, or one of its own; ties go to the lower class."""
    hits: Bools = np.asarray(membership[np.arange(len(scores)), scores.argmax(axis=1)]).ravel() > 0
    return hits


def top_accuracy(scores: npt.NDArray[np.floating], membership: Membership) -> float:
    """Share of the images with a label whose most probable class is one of theirs: accuracy, or precision@1."""
    labelled = np.diff(membership.indptr) > 0
    return float(top_hits(scores, membership)[labelled].mean()) if labelled.any() else 0.0


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


class _Ranking:
    """The images of one class in falling order of score, ready for weighted average precision."""

    def __init__(self, scores: F32, positive: Bools) -> None:
        self.order = np.argsort(-scores, kind="stable")
        ranked = scores[self.order]
        self.positive = positive[self.order].astype(np.float64)
        # Images of equal score stand at one threshold: its precision counts for all of them.
        ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
        self.end = ends[np.searchsorted(ends, np.arange(len(ranked)))]

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
    """(K,) average precision of each class, NaN for a class without an image."""
    dense = membership.tocsc()
    weight = np.ones(len(scores))
    return np.array([_ranking(scores, dense, k).average_precision(weight) for k in range(scores.shape[1])])


def _ranking(scores: F32, by_class: Any, k: int) -> _Ranking:
    positive = np.zeros(len(scores), np.bool_)
    positive[by_class.indices[by_class.indptr[k] : by_class.indptr[k + 1]]] = True
    return _Ranking(scores[:, k], positive)


def mean_of_known(values: F64) -> float:
    """Mean of what is not NaN; 0 when nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def confusion(scores: F32, membership: Membership) -> npt.NDArray[np.int64]:
    """(K, K) counts of single-label images: row the true class, column the most probable one."""
    k = scores.shape[1]
    cells = single_labels(membership) * k + scores.argmax(axis=1)
    return np.bincount(cells, minlength=k * k).reshape(k, k)


def class_accuracies(matrix: npt.NDArray[np.int64]) -> F64:
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


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a - b over paired images, and its percentile bootstrap interval."""

    value: float
    low: float
    high: float

    @property
    def within_noise(self) -> bool:
        """Whether the interval covers 0."""
        return self.low <= 0 <= self.high


def paired_bootstrap(a: Bools, b: Bools, samples: int, seed: int, level: float = 0.95) -> PairedDifference:
    """Difference of two accuracies on the same N images, with a percentile bootstrap interval (Efron, 1979).

    The paired differences take three values only, so resampling N images is one multinomial draw of their counts.
    """
    n = len(a)
    difference = a.astype(np.int64) - b.astype(np.int64)
    shares = np.array([(difference == v).sum() for v in (-1, 0, 1)]) / n
    draws = np.random.default_rng(seed).multinomial(n, shares, size=samples)
    means = (draws[:, 2] - draws[:, 0]) / n
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return PairedDifference(float(difference.mean()), float(low), float(high))


def paired_bootstrap_map(
    a: F32, b: F32, membership: Membership, samples: int, seed: int, level: float = 0.95
) -> PairedDifference:
    """Difference of two mean average precisions, with a percentile bootstrap interval over images.

    A resample is a weight for each image; classes without an image in it are left out of its mean. At most `samples`
    resamples, fewer where they would go through more than `MAP_WORK` scores, never fewer than 100.
    """
    n, k = a.shape
    dense = membership.tocsc()
    classes = np.flatnonzero(np.diff(dense.indptr) > 0)
    rankings = [(_ranking(a, dense, c), _ranking(b, dense, c)) for c in classes.tolist()]

    def difference(weight: F64) -> float:
        pairs = np.array([(x.average_precision(weight), y.average_precision(weight)) for x, y in rankings])
        return mean_of_known(pairs[:, 0]) - mean_of_known(pairs[:, 1]) if len(pairs) else 0.0

    number = int(min(samples, max(100, MAP_WORK // max(n * k, 1))))
    draw = np.random.default_rng(seed)
    even = np.full(n, 1 / n)
    values = [difference(draw.multinomial(n, even).astype(np.float64)) for _ in range(number)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return PairedDifference(difference(np.ones(n)), float(low), float(high))
