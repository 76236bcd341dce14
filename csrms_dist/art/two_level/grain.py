"""The grain of the rows: a partition that stays the same over an interval of vigilances, in whatever order they come.

Rows that lie in groups fall into the same patterns at every vigilance between the resemblance of the groups and that
within them, and two orders of the rows agree on these. Without groups every vigilance and every order gives others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from csrms_dist.art import kernels
from csrms_dist.art.scaling import blas
from csrms_dist.art.two_level.learner import Assigned, Learner
from csrms_dist.art.two_level.placement import blocks_of
from csrms_dist.art.two_level.prototypes import canonical, surviving
from csrms_dist.basics.arrays import I32, I64, Bools, Matrix
from csrms_dist.basics.hashing import mix

STEP = 1.12  # 1 - vigilance falls by this factor from level to level
FINEST = 0.004  # 1 - vigilance of the last level; rounding to int8 moves a row by less than a tenth of it
LEVELS = tuple(round(1 - STEP**-k, 4) for k in range(int(math.log(1 / FINEST, STEP)) + 1))
AT_ONCE = 4  # levels that are tried before the next ones are asked for
WIDE = 3  # levels that an interval has at least: 1 - vigilance falls by a fifth or more from its first to its last
ALIKE = 0.98  # share of the rows on which partitions must agree
TAKEN = 0.8  # share of the rows that reach the vigilance in an interval at least; the others lie between the groups
FEWEST = 3  # patterns: two directions are what any long blob has
FEWEST_ON_A_LINE = 5  # patterns, where rows lie along a line or a curve, of which three or four are the usual pieces
LINE = 1.5  # dimensions that the rows of such data spread over at most
ROWS_PER_PATTERN = 6  # of a grain at least, on average
NEAR = 0.8  # a row is between two patterns where its distance, 1 - resemblance, to the nearer is so much of the other
BETWEEN = 0.005  # share of the rows that may lie between: pieces of a curve are as stable as groups, but they touch
MANY = 10  # patterns from which BETWEEN_MANY counts where nothing else does: only few pieces of a curve are so stable
BETWEEN_MANY = 0.02
PIECE = 0.1  # share of a pattern's rows between it and another, above which it is a piece of a group
_AGAIN = 0x616761696E

#: The rows as virtual shards: the places of each in the file of the learnt rows, in the order in which it learns them.
Shards: TypeAlias = Sequence[I64]


class Grain(NamedTuple):
    """What was found: so many patterns at `vigilance`, of an interval from vigilance `low` to `high`."""

    vigilance: float
    patterns: int
    low: float
    high: float


class Partition(NamedTuple):
    """Rows in patterns. labels: (R,) int32, -1 for a row without direction. taken: (R,) bool, reaches the vigilance.

    between: (R,) bool, is taken and lies between two patterns.
    """

    labels: I32
    patterns: int
    taken: Bools
    between: Bools


#: Vigilances -> what the learnt rows make of each.
Partitions: TypeAlias = Callable[[Sequence[float]], Sequence[Partition]]


def find_grain(partitions: Partitions, again: Partitions, least: int) -> Grain | None:
    """The finest partition that at least `WIDE` levels share and two orders agree on; None where there is none.

    Groups of few rows count for little in what levels share: in some of them they join others or fall apart. Hence its
    vigilance is that of the level with the most patterns that last (`_lasting`); of several such levels one with few
    others, in the widest interval, near to its middle.

    again: the partitions in another order of the rows. least: patterns of a grain that counts.
    """
    tried: list[Partition] = []
    for start in range(0, len(LEVELS), AT_ONCE):
        tried += partitions(LEVELS[start : start + AT_ONCE])
        if not any(map(_usable, tried[start:])):
            break
    steady = [_usable(at) for at in tried]
    lasting = [0] * len(tried)
    worth = sorted({k for first, last in _intervals(tried, steady) for k in range(first, last + 1)})
    for k, other in zip(worth, again([LEVELS[k] for k in worth]), strict=True):
        steady[k] = _alike(tried[k], other)
        lasting[k] = _lasting(tried, k, other)
    stays = [(first, last, k) for first, last in _intervals(tried, steady) for k in range(first, last + 1)]

    def rank(at: tuple[int, int, int]) -> tuple[int, ...]:
        first, last, k = at
        return lasting[k], last - first, -tried[k].patterns, -abs(first + last - 2 * k), -k

    for patterns, between in ((least, BETWEEN), (max(least, MANY), BETWEEN_MANY)):
        apart = [at.patterns >= patterns and at.between.sum() <= between * at.taken.sum() for at in tried]
        found = [at for at in stays if apart[at[2]]]
        if found:
            first, last, best = max(found, key=rank)
            return Grain(LEVELS[best], tried[best].patterns, LEVELS[first], LEVELS[last])
    return None


def _usable(at: Partition) -> bool:
    return bool(at.taken.mean() >= TAKEN) and at.patterns * ROWS_PER_PATTERN <= len(at.labels)


def _alike(a: Partition, b: Partition) -> bool:
    """Whether partitions agree on the rows that both take: where the others lie says nothing, they belong to none."""
    both = a.taken & b.taken
    return bool(both.any()) and agreement(a.labels[both], b.labels[both]) >= ALIKE


def _lasting(tried: Sequence[Partition], k: int, other: Partition) -> int:
    """How many patterns of level k last: `WIDE` levels in a row have them, another order has, and they lie apart."""
    same = {m: shared(tried[k], tried[m]) for m in range(max(0, k - WIDE + 1), min(len(tried), k + WIDE))}
    windows = [range(first, first + WIDE) for first in range(k - WIDE + 1, k + 1)]
    lasts = [np.all([same[m] for m in some], axis=0) for some in windows if set(some) <= set(same)]
    counts = np.any(lasts, axis=0) & shared(tried[k], other) & _apart(tried[k])
    return int(counts.sum())


def _apart(at: Partition) -> Bools:
    """Which patterns (J,) are not pieces of a group: at most a tenth of their rows lie between them and others."""
    rows, between = (np.bincount(at.labels[some], minlength=at.patterns) for some in (at.taken, at.between))
    return np.asarray(between <= PIECE * rows)


def shared(a: Partition, b: Partition) -> Bools:
    """Which patterns of a (J,) are also in b: more than half of the rows that either has in it, both have.

    Of the rows that both take.
    """
    both = a.taken & b.taken
    one, other = a.labels[both].astype(np.int64), b.labels[both].astype(np.int64)
    pairs, common = np.unique(one * b.patterns + other, return_counts=True)
    mine, theirs = pairs // b.patterns, pairs % b.patterns
    either = np.bincount(one, minlength=a.patterns)[mine] + np.bincount(other, minlength=b.patterns)[theirs] - common
    found = np.zeros(a.patterns, np.bool_)
    found[mine[2 * common > either]] = True
    return found


def _intervals(tried: Sequence[Partition], steady: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """The first and the last level of each interval of steady levels over which the partition stays; finer ones first.

    For each last level the longest.
    """
    for last in range(len(tried) - 1, WIDE - 2, -1):
        first = last + 1
        while first and steady[first - 1] and _alike(tried[first - 1], tried[last]):
            first -= 1
        if last - first + 1 >= WIDE:
            yield first, last


def fewest(rows: Path, least: int) -> int:
    """The fewest patterns that count as a grain of these rows, at least `least`: more where they lie along a line.

    Over how many dimensions rows spread: (sum of eigenvalues)^2 / sum of their squares, of the covariance.
    """
    x = np.load(rows).astype(np.float64)
    with blas().limit(limits=1, user_api="blas"):
        x -= x.mean(axis=0)
        covariance = x.T @ x
    square = float((covariance * covariance).sum())
    spread = float(np.trace(covariance)) ** 2 / square if square > 0 else 0.0
    return max(least, FEWEST if spread > LINE else FEWEST_ON_A_LINE)


def agreement(a: I32, b: I32) -> float:
    """The share of the rows on which two partitions agree: in each the smaller share that the largest overlaps hold.

    >>> agreement(np.array([0, 0, 1, 1], np.int32), np.array([5, 5, 2, 2], np.int32))
    1.0
    >>> agreement(np.array([0, 0, 1, 1], np.int32), np.array([0, 0, 0, 0], np.int32))
    0.5
    """
    width = int(b.max()) + 2
    pairs, counts = np.unique((a.astype(np.int64) + 1) * width + b + 1, return_counts=True)
    shares = []
    for group in (pairs // width, pairs % width):
        largest = np.zeros(int(group.max()) + 1, np.int64)
        np.maximum.at(largest, group, counts)
        shares.append(float(largest.sum() / len(a)))
    return min(shares)


def in_another_order(n: int, shards: int) -> list[I64]:
    """Places 0 to n - 1 dealt anew to as many shards, in an order that depends on n alone."""
    order = np.argsort(mix(_AGAIN, np.arange(n)), kind="stable")
    return [part for part in np.array_split(order, shards) if len(part)]


def partition(rows: Path, learner: Learner, shards: Shards, vigilance: float, min_size: int) -> Partition:
    """The patterns of the learnt rows at a vigilance, as the two levels find them, moved to their rows once."""
    q = np.load(rows)
    with blas().limit(limits=1, user_api="blas"):
        parts = [learner.learn(np.ascontiguousarray(q[some]), vigilance) for some in shards]
        p = canonical(learner.frozen(learner.merge(parts, vigilance)))
        found = _assigned(learner, q, p, vigilance, moved=False)
        order = np.concatenate(list(shards))
        left = order[learner.is_residual(found)[order]]
        if len(left):
            p = canonical(np.concatenate([p, learner.residual(np.ascontiguousarray(q[left]), vigilance)]))
            found = _assigned(learner, q, p, vigilance, moved=False)
        whole = learner.integers(q)
        sums = np.zeros((len(p), q.shape[1]), np.int64)
        kernels.add_members(whole, found.winner, sums)
        p = canonical(learner.centres(p, sums, _sizes(found, p)))
        found = _assigned(learner, q, p, vigilance, moved=True)
        kept = surviving(_sizes(found, p), min_size)
        if not kept.all():
            p = p[kept]
            found = _assigned(learner, q, p, vigilance, moved=True)
        between = _between(learner, q, p, found, vigilance)
    return Partition(found.winner, len(p), found.passes, between)


def _assigned(learner: Learner, q: Matrix, p: Matrix, vigilance: float, *, moved: bool) -> Assigned:
    parts = [learner.assign(block, p, vigilance, moved=moved) for block in blocks_of(q)]
    return Assigned(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _sizes(found: Assigned, p: Matrix) -> I64:
    return np.bincount(found.winner[found.winner >= 0], minlength=len(p)).astype(np.int64)


def _between(learner: Learner, q: Matrix, p: Matrix, found: Assigned, vigilance: float) -> Bools:
    """Which rows reach the vigilance though their second nearest pattern is about as near as the nearest, (R,) bool.

    A second nearest differs from the nearest in some bit of its number, so one assignment a bit finds it.
    """
    rows = np.flatnonzero(found.passes)
    second = np.zeros(len(rows))
    number, winner = np.arange(len(p)), found.winner[rows]
    for bit in range(max(len(p) - 1, 0).bit_length()):
        for value in (0, 1):
            some = np.flatnonzero(winner >> bit & 1 == value)
            others = p[number >> bit & 1 != value]
            if len(some) and len(others):
                score = _assigned(learner, q[rows[some]], others, vigilance, moved=True).score
                second[some] = np.maximum(second[some], score)
    between = np.zeros(len(q), np.bool_)
    between[rows] = 1 - found.score[rows] > NEAR * (1 - second)
    return between
