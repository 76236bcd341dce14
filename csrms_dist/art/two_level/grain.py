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
from csrms_dist.basics.arrays import I32, I64, Matrix
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
_AGAIN = 0x616761696E

#: The rows as virtual shards: the places of each in the file of the learnt rows, in the order in which it learns them.
Shards: TypeAlias = Sequence[I64]


class Grain(NamedTuple):
    """What was found: so many patterns from vigilance `low` to `high`, of which `vigilance` is the middle."""

    vigilance: float
    patterns: int
    low: float
    high: float


class Partition(NamedTuple):
    """Rows in patterns. labels: (R,) int32, -1 for a row without direction. taken: share that reaches the vigilance.

    between: the share of these rows that lie between two patterns.
    """

    labels: I32
    patterns: int
    taken: float
    between: float


#: Vigilances -> what the learnt rows make of each.
Partitions: TypeAlias = Callable[[Sequence[float]], Sequence[Partition]]


def find_grain(partitions: Partitions, again: Partitions, least: int) -> Grain | None:
    """The finest partition that at least `WIDE` levels share and two orders agree on; None where there is none.

    again: the partitions in another order of the rows. least: patterns of a grain that counts.
    """
    tried: list[Partition] = []
    for start in range(0, len(LEVELS), AT_ONCE):
        tried += partitions(LEVELS[start : start + AT_ONCE])
        if not any(map(_usable, tried[start:])):
            break
    steady = [_usable(at) for at in tried]
    worth = sorted({k for first, last in _intervals(tried, steady) for k in range(first, last + 1)})
    for k, other in zip(worth, again([LEVELS[k] for k in worth]), strict=True):
        steady[k] = agreement(tried[k].labels, other.labels) >= ALIKE
    found = [((first + last) // 2, first, last) for first, last in _intervals(tried, steady)]
    found = [at for at in found if tried[at[0]].patterns >= least and tried[at[0]].between <= BETWEEN]
    if not found:
        return None
    finest = tried[max(found, key=lambda at: tried[at[0]].patterns)[0]]
    same = [at for at in found if agreement(tried[at[0]].labels, finest.labels) >= ALIKE]
    middle, first, last = max(same, key=lambda at: at[2] - at[1])
    return Grain(LEVELS[middle], tried[middle].patterns, LEVELS[first], LEVELS[last])


def _usable(at: Partition) -> bool:
    return at.taken >= TAKEN and at.patterns * ROWS_PER_PATTERN <= len(at.labels)


def _intervals(tried: Sequence[Partition], steady: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """The first and the last level of each interval of steady levels over which the partition stays; finer ones first.

    For each last level the longest.
    """
    for last in range(len(tried) - 1, WIDE - 2, -1):
        first = last + 1
        while first and steady[first - 1] and agreement(tried[first - 1].labels, tried[last].labels) >= ALIKE:
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
    return Partition(found.winner, len(p), float(found.passes.mean()), between)


def _assigned(learner: Learner, q: Matrix, p: Matrix, vigilance: float, *, moved: bool) -> Assigned:
    parts = [learner.assign(block, p, vigilance, moved=moved) for block in blocks_of(q)]
    return Assigned(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _sizes(found: Assigned, p: Matrix) -> I64:
    return np.bincount(found.winner[found.winner >= 0], minlength=len(p)).astype(np.int64)


def _between(learner: Learner, q: Matrix, p: Matrix, found: Assigned, vigilance: float) -> float:
    """The share of the rows that reach the vigilance whose second nearest pattern is about as near as the nearest.

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
    return float((1 - found.score[rows] > NEAR * (1 - second)).mean()) if len(rows) else 1.0
