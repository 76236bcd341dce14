"""Is a score above chance? Answers against the same answers dealt to the images at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betainc

from csrms_dist.basics.arrays import F32, F64, I64
from csrms_dist.labels import Membership
from csrms_dist.metrics.intervals import MAP_WORK
from csrms_dist.metrics.ranking import average_precisions, mean_of_known, ranking_of

LEVEL = 0.01
"""The p-value up to which a score is said to be above chance."""

DEALS = 999
"""Deals of the permutation test, fewer where they would go through more than `MAP_WORK` scores, never fewer than 199:
its smallest p-value is 1 / (deals + 1)."""
LEAST_DEALS = 199


@dataclass(frozen=True)
class AboveChance:
    """A score, and what it is compared with.

    chance: what the same answers score in the mean when they are dealt to the images at random. One answer for all
    scores exactly that, and no answers that know nothing of an image have a higher mean than the best of these.
    best_constant: what the best single answer for all scores; `chance` is never above it.
    p_value: the probability that chance does as well or better. visible: the smallest score whose p-value is not above
    the level of the test, None where not even a perfect one is. told: the share of labels which, if known, explains the
    score. shows_from: the smallest such share that is expected to be seen, None where not even all of them are.
    """

    score: float
    chance: float
    best_constant: float
    p_value: float
    visible: float | None
    told: float
    shows_from: float | None


def labels_differ(membership: Membership) -> bool:
    """Whether two of the images (N, K) have different labels."""
    rows = membership.toarray()
    return bool((rows != rows[:1]).any())


def _nothing_to_deal(score: float, best_constant: float) -> AboveChance:
    """Images that all have the same labels: whoever gets which answer, the score is the same."""
    return AboveChance(score, score, best_constant, 1.0, None, 0.0, None)


def hits_above_chance(answers: I64, membership: Membership, level: float) -> AboveChance:
    """The accuracy of N answers, N at least 1, by the exact one-sided binomial test.

    answers (N,): the class answered for each image. membership (N, K): a hit is an answer that the image has. The
    chance of a hit is the mean over images of the share, among these images, of the class that was answered (the
    agreement by chance of Cohen, 1960). The shares are known, not estimated: they are
    those of the images at hand, which a held-out split fixes. So the constant answer that happens to suit these images
    best is no better than chance. Hits of labels drawn with these shares are draws of unequal probability, and the
    binomial of their mean bounds the tail of their sum (Hoeffding, 1956).
    """
    n = len(answers)
    shares = np.bincount(membership.indices, minlength=membership.shape[1]) / n
    best = float(shares.max())
    if not labels_differ(membership):
        return _nothing_to_deal(float(np.mean(membership[np.arange(n), answers])), best)
    chance = float(shares[answers].mean())
    hits = int(np.asarray(membership[np.arange(n), answers]).sum())
    tails = binomial_tails(n, chance)
    enough = np.flatnonzero(tails <= level)
    visible = float(enough[0] / n) if len(enough) else None
    # What a right answer for each image scores when it is dealt: answers that were told have this chance.
    alike = float((shares**2).sum())
    told = _share((hits / n - chance) / (1 - alike))
    return AboveChance(hits / n, chance, best, float(tails[hits]), visible, told, _shows_from(n, chance, alike, level))


def _share(value: float) -> float:
    """In [0, 1], and 0 where only rounding says otherwise."""
    return min(value, 1.0) if value > 1e-9 else 0.0


def _shows_from(n: int, chance: float, alike: float, level: float) -> float | None:
    """The smallest share of N labels that shows when it is told, and the other images are answered as before.

    chance, alike: of a hit by an answer as before, and by one that was told, when they are dealt to the images. What is
    told moves the chance too: rare answers give way to those of frequent classes.
    """
    told = np.arange(1, n + 1)
    mean = ((n - told) * chance + told * alike) / n
    hits = np.maximum(np.floor(told + (n - told) * chance + 1e-9), 1)
    shown = np.flatnonzero(betainc(hits, n + 1 - hits, np.minimum(mean, 1.0)) <= level)
    return float(told[shown[0]] / n) if len(shown) else None


def binomial_tails(n: int, chance: float) -> F64:
    """(n + 1,) P(X >= 0), ..., P(X >= n) of a binomial X."""
    at_least = np.arange(1, n + 1)
    tails: F64 = np.concatenate([[1.0], betainc(at_least, n + 1 - at_least, min(chance, 1.0))])
    return tails


def mean_precision_above_chance(scores: F32, membership: Membership, level: float, seed: int) -> AboveChance:
    """mAP of (N, K) scores by a permutation test: the label sets of the N images, N at least 1, are dealt anew.

    The test is exact for any number of deals (Phipson and Smyth, 2010): the answers at hand count as one of them.
    """
    # One ranking for all images has the share of the images that carry the class for its precision, whatever it is.
    constant = mean_of_known(average_precisions(np.zeros_like(scores), membership))
    if not labels_differ(membership):
        return _nothing_to_deal(mean_of_known(average_precisions(scores, membership)), constant)
    n, k = scores.shape
    by_class = membership.tocsc()
    classes = np.flatnonzero(np.diff(by_class.indptr) > 0).tolist()
    rankings = [ranking_of(scores, by_class, c) for c in classes]
    positive, weight = membership.toarray().astype(np.bool_)[:, classes], np.ones(n)
    draw = np.random.default_rng(seed)

    def dealt(order: I64) -> float:
        pairs = zip(rankings, positive[order].T, strict=True)
        return mean_of_known(np.array([ranking.dealt(column).average_precision(weight) for ranking, column in pairs]))

    score = dealt(np.arange(n))
    deals = int(min(DEALS, max(LEAST_DEALS, MAP_WORK // max(n * k, 1))))
    found = np.sort([dealt(draw.permutation(n)) for _ in range(deals)])
    # Sums of the same values in another order differ in the last bits: one answer for all must not win by them.
    p_value = (1 + int((found >= score - 1e-9).sum())) / (deals + 1)
    beaten_by = int(level * (deals + 1)) - 1  # deals that may do as well at this level
    visible = float(found[deals - 1 - beaten_by]) + 1e-9 if 0 <= beaten_by < deals else None
    visible = visible if visible is not None and visible < 1 else None
    chance = float(found.mean())

    def share(value: float) -> float:
        return _share((value - chance) / (1 - chance)) if chance < 1 else 0.0

    # Deals of one ranking for all images are all alike: they do not tell how a leak would stand out.
    alike = bool((scores == scores[:1]).all())
    shows_from = None if visible is None or alike else share(visible)
    return AboveChance(score, chance, constant, p_value, visible, share(score), shows_from)
