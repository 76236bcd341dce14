"""New rows for a finished clustering: they join what is there or found patterns of their own; nothing old moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from csrms_dist.art.two_level.learner import Learner
from csrms_dist.art.two_level.placement import blocks_of, placed
from csrms_dist.art.two_level.prototypes import surviving
from csrms_dist.art.two_level.selection import RowKeys
from csrms_dist.basics.arrays import F32, I32, I64, Bools, Matrix
from csrms_dist.basics.hashing import Texts


@dataclass(frozen=True)
class Drift:
    """The difference between the new rows and those that were clustered.

    rows: how many. new_patterns: how many they founded; founders: the rows in these. below, below_before: share
    of rows below the vigilance. score, score_before: mean resemblance. shift: total variation distance, 0 to 1, of the
    shares of rows that each pattern has among the new and among the old rows; new patterns count as empty before.
    """

    rows: int
    new_patterns: int
    founders: int
    below: float
    below_before: float
    score: float
    score_before: float
    shift: float

    def __str__(self) -> str:
        return (
            f"{self.rows:,} new rows: {self.founders:,} in {self.new_patterns:,} new patterns, below the vigilance "
            f"{self.below:.1%} ({self.below_before:.1%} before), mean resemblance {self.score:.3f} "
            f"({self.score_before:.3f} before), {self.shift:.1%} of the rows elsewhere than the old ones were"
        )


class Growth(NamedTuple):
    """The clustered rows as new ones see them: prototypes (J, width), sizes (J,), share below rho, mean score."""

    prototypes: Matrix
    sizes: I64
    below: float
    score: float


class Grown(NamedTuple):
    """Prototypes, the old ones first; sizes with the new rows; and what became of these, (M,) each."""

    prototypes: Matrix
    sizes: I64
    pattern: I32
    score: F32
    below: Bools


def grown(
    learner: Learner,
    before: Growth,
    rows: Matrix,
    ids: Texts | None,
    vigilance: float,
    *,
    moved: bool,
    learn_rows: int,
    min_size: int,
) -> tuple[Grown, Drift]:
    """Place prepared rows (M, D) beside what is there; those that nothing takes learn at the vigilance in hash order.

    New patterns with fewer than min_size rows are not kept: their rows go to the nearest pattern, below the vigilance.
    Rows without direction go to pattern 0. Raises DataError for an id that two of the rows have.
    """
    keys = RowKeys(len(rows), ids)
    keys.refuse_repeated()
    old = before.prototypes
    first = placed(learner, blocks_of(rows), old, vigilance, moved=True)
    residual = np.flatnonzero(learner.is_residual(first))
    fresh = old[:0]
    if len(residual):
        chosen = keys.in_order(residual)
        chosen = chosen if learner.covers else chosen[:learn_rows]
        fresh = learner.residual(rows[chosen], vigilance)
    winner, score, passes = first
    if len(fresh):
        more = placed(learner, blocks_of(rows[residual]), fresh, vigilance, moved=False)
        sizes = np.bincount(more.winner[more.passes], minlength=len(fresh))
        kept = surviving(sizes, min_size) & (sizes >= min_size)
        fresh = fresh[kept]
        fresh = fresh[np.lexsort((*fresh.T[::-1], -sizes[kept]))] if len(fresh) else fresh
    if len(fresh):
        more = placed(learner, blocks_of(rows[residual]), fresh, vigilance, moved=False)
        taken = residual[more.passes]
        winner[taken], passes[taken] = len(old) + more.winner[more.passes], True
        score[taken] = more.score[more.passes]
    directed = winner >= 0
    pattern: I32 = np.where(directed, winner, 0).astype(np.int32)
    below = np.where(directed, ~passes, vigilance > 0)
    prototypes = np.concatenate([old, fresh]) if len(fresh) else old
    counts = np.bincount(pattern, minlength=len(prototypes)).astype(np.int64)
    known = np.concatenate([before.sizes, np.zeros(len(fresh), np.int64)])
    shift = 0.5 * float(np.abs(counts / max(1, counts.sum()) - known / max(1, known.sum())).sum())
    founders = int((pattern >= len(old)).sum())
    share, mean = float(below.mean()), float(score.mean())
    drift = Drift(len(rows), len(fresh), founders, share, before.below, mean, before.score, shift)
    return Grown(prototypes, known + counts, pattern, score, below), drift
