"""Rows settle in patterns: shards learn, their categories merge, all rows are assigned, prototypes move to theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from csrms_dist.art.scaling import BLOCK, blas
from csrms_dist.art.two_level import tasks
from csrms_dist.art.two_level.plan import EVERY_ROW
from csrms_dist.art.two_level.prototypes import MOST_TURNS, canonical, first_distinct, shared_out, surviving
from csrms_dist.art.two_level.report import Report
from csrms_dist.art.two_level.steps import Arrays, Checkpoint
from csrms_dist.art.two_level.work import Work, ranges
from csrms_dist.basics.arrays import I64, Matrix

T = TypeVar("T")

MOST_CUTS = 3  # times that k-means is run for a number of patterns: min_size may dissolve some of each time's
FLAT_MERGE = 100_000  # categories that are merged at once; above it neighbouring shards are merged first


@dataclass(frozen=True)
class Part:
    """Some prepared rows: a .npy file, how rows of it are put in hash order, and a folder for their assignment."""

    path: Path
    n: int
    in_order: Callable[[I64], I64]
    output: Path

    def files(self) -> dict[str, Matrix]:
        """The assignment's files, memory-mapped."""
        return {name: np.load(self.output / f"{name}.npy", mmap_mode="r") for name in tasks.OUTPUTS}


class Settled(NamedTuple):
    """Prototypes (J, width) in canonical order, their sizes (J,), how many there were before small ones were dissolved.

    moved: whether they moved to the mean of their rows. cut: whether k-means made their number.
    """

    prototypes: Matrix
    sizes: I64
    before: int
    moved: bool
    cut: bool = False

    @property
    def patterns(self) -> int:
        """Prototypes that have rows."""
        return int((self.sizes > 0).sum())


class Settling:
    """Learn, then settle the rows of a part: all rows, or, while the vigilance is searched for, the learnt ones.

    work: the means of the clustering.
    part: the rows to settle.
    learnt: the file of the rows to learn.
    spans: the shards' ranges of it.
    report: who hears of the steps, nobody by default.
    steps: where what is computed is kept; by default it is not.
    """

    def __init__(
        self,
        work: Work,
        part: Part,
        learnt: Path,
        spans: Sequence[tuple[int, int]],
        report: Report | None = None,
        steps: Checkpoint | None = None,
    ) -> None:
        self.work, self.plan, self.part = work, work.plan, part
        self.learnt, self.spans = learnt, spans
        self.report, self.steps = report or Report(), steps
        self._passes = 0

    def count(self, rho: float) -> tuple[int, bool]:
        """Patterns at rho; too high where the mean size is under twice the smallest allowed."""
        found = self.settle(rho)
        return found.patterns, bool(found.sizes.sum() < 2 * self.plan.min_size * found.before)

    def settle(self, rho: float, few: Settling | None = None, *, bounded: bool = False) -> Settled:
        """The patterns at rho; the files of the part hold the assignment.

        few: the learnt rows, on which k-means is run; None where these are the rows to settle. bounded: rho was sought
        for n_patterns on them, which rows that were not learnt may not exceed.
        """
        plan, report, passes = self.plan, self.report, len(ranges(self.part.n))
        if few is not None and plan.kmeans == "random":
            p = self._step("merged", few.random_rows)
        elif few is not None and bounded and few.part.n < self.part.n and not plan.learner.covers:
            with report.phase("learn"):
                merged = self._step("merged", lambda: few.settle(rho)[0])
            with report.phase("merge"):
                pass
            with report.phase("assign", passes):
                p = self._step("settled", lambda: self._largest(self._with_residual(merged, rho), rho))
        else:
            with report.phase("learn", len(self.spans)):
                merged = self._step("merged", lambda: self._merged(rho))
            with report.phase("merge"):
                pass
            with report.phase("assign", passes):
                p = self._step("settled", lambda: self._with_residual(merged, rho))
        moved = False
        if few is not None and plan.kmeans:
            start, rho, moved, learnt = p, EVERY_ROW, True, few
            p = self._step("converged", lambda: learnt.converged(start))
        with report.phase("recentre", (plan.recentre + 1) * passes):
            settled = self._recentred(p, rho, moved, "recentred")
            if few is not None and bounded and plan.asked and not plan.learner.covers:
                settled = self._as_many(settled, rho, few)
        return settled

    def _as_many(self, settled: Settled, rho: float, few: Settling) -> Settled:
        """As near to n_patterns as cutting comes: where small pieces are dissolved, more are cut than are wanted."""
        whole, wanted = settled, self.plan.n_patterns
        aim, last = wanted, settled
        for turn in range(MOST_CUTS):
            if not self.plan.misses(settled.patterns):
                break
            last = self._cut(whole, aim, rho, few, f"cut {turn}")
            if abs(last.patterns - wanted) < abs(settled.patterns - wanted):
                settled = last
            aim += wanted - last.patterns
        if settled is not last:
            self._assign(settled.prototypes, rho, moved=settled.moved)
        return settled

    def _recentred(self, p: Matrix, rho: float, moved: bool, step: str) -> Settled:
        """Prototypes after `recentre` moves, those of too few rows dissolved."""
        for turn in range(self.plan.recentre):

            def centred(p: Matrix = p, moved: bool = moved) -> Matrix:
                return self._centred(p, rho, moved)

            p, moved = self._step(f"{step} {turn}", centred), True
        counted = self._assign(p, rho, moved=moved)
        before, kept = len(p), surviving(counted.sizes, self.plan.min_size)
        if (counted.sizes[~kept] > 0).any():
            p = p[kept]
            counted = self._assign(p, rho, moved=True)
        return Settled(p, counted.sizes, before, moved)

    def _cut(self, settled: Settled, aim: int, rho: float, few: Settling, step: str) -> Settled:
        """The patterns that k-means makes of the learnt rows, of which so many are aimed at."""

        def made() -> Matrix:
            return few.converged(self._pieces(settled, aim, few))

        return self._recentred(self._step(step, made), rho, True, f"recentred after {step}")._replace(cut=True)

    def _pieces(self, settled: Settled, aim: int, few: Settling) -> Matrix:
        """`aim` prototypes from which k-means starts: the largest, or, of fewer, the larger ones cut.

        Between groups that lie apart and single rows no vigilance gives another number of patterns. A pattern that is
        cut starts as some of its rows, the first in hash order: beside its mean they would take nothing.
        """
        p, sizes = settled.prototypes, settled.sizes
        if len(p) >= aim:
            return p[np.sort(np.argsort(-sizes, kind="stable")[:aim])]
        n = max(len(p), min(aim, few.part.n // self.plan.min_size))
        few._assign(p, EVERY_ROW, moved=True)
        winner = few.part.files()["winner"]
        members = np.bincount(winner[winner >= 0], minlength=len(p))
        pieces = shared_out(n, members)
        order = few.part.in_order(np.flatnonzero(pieces[winner] > 1))
        rows = np.load(few.learnt, mmap_mode="r")
        cut = [first_distinct(rows[order[winner[order] == j]], int(pieces[j])) for j in np.flatnonzero(pieces > 1)]
        return canonical(np.concatenate([p[pieces == 1], *cut]))

    def converged(self, p: Matrix) -> Matrix:
        """k-means from p until nothing moves (Lloyd), at most MOST_TURNS times."""
        for _ in range(MOST_TURNS):
            before, p = p, self._centred(p, EVERY_ROW, True)
            if np.array_equal(before, p):
                break
        return p

    def random_rows(self) -> Matrix:
        """The first n_patterns distinct rows with a direction in hash order."""
        rows = np.load(self.learnt, mmap_mode="r")[self.part.in_order(np.arange(self.part.n))]
        return first_distinct(rows, self.plan.n_patterns)

    def _step(self, name: str, prototypes: Callable[[], Matrix]) -> Matrix:
        """The prototypes of a step, computed unless they are kept."""

        def made() -> Arrays:
            return {"p": prototypes()}

        return prototypes() if self.steps is None else self.steps.step(name, made)["p"]

    def _merged(self, rho: float) -> Matrix:
        learner = self.plan.learner
        shards = [(self.learnt, learner, *span, rho) for span in self.spans]
        parts = self.work.executor.map(tasks.learn, shards, self.report.step)
        with blas().limit(limits=1, user_api="blas"):
            merged = merge_all(parts, lambda some: learner.merge(some, rho), learner.size)
        return canonical(learner.frozen(merged))

    def _with_residual(self, p: Matrix, rho: float) -> Matrix:
        """p and the prototypes of the rows that none of them takes."""
        learner, part = self.plan.learner, self.part
        residual = self._assign(p, rho, moved=False).residual if len(p) else np.arange(part.n)
        if not len(residual):
            return p
        chosen = part.in_order(residual)
        if not learner.covers:
            chosen = chosen[: self.plan.learn_rows]
        source, path = np.load(part.path, mmap_mode="r"), self.work.folder / "residual.npy"
        rows = np.lib.format.open_memmap(path, "w+", source.dtype, (len(chosen), source.shape[1]))
        for start in range(0, len(chosen), BLOCK):
            rows[start : start + BLOCK] = source[chosen[start : start + BLOCK]]
        rows.flush()
        [more] = self.work.executor.map(tasks.residual, [(path, learner, rho)])
        path.unlink()
        return canonical(np.concatenate([p, more]) if len(p) else more)

    def _largest(self, p: Matrix, rho: float) -> Matrix:
        """The n_patterns prototypes with the most rows; of equally many the first."""
        if len(p) <= self.plan.n_patterns:
            return p
        sizes = self._assign(p, rho, moved=False).sizes
        return p[np.sort(np.argsort(-sizes, kind="stable")[: self.plan.n_patterns])]

    def _centred(self, p: Matrix, rho: float, moved: bool) -> Matrix:
        counted = self._assign(p, rho, moved=moved, with_sums=True)
        return canonical(self.plan.learner.centres(p, counted.sums, counted.sizes))

    def _assign(self, p: Matrix, rho: float, *, moved: bool, with_sums: bool = False) -> tasks.Counted:
        """Assign all rows of the part to the frozen p; sums are all-reduced exactly."""
        part, learner = self.part, self.plan.learner
        self._passes += 1
        part.output.mkdir(exist_ok=True)
        frozen = part.output / f"prototypes_{self._passes}.npy"  # a name that no earlier pass used
        np.save(frozen, p)
        for name, dtype in tasks.OUTPUTS.items():
            if not (part.output / f"{name}.npy").exists():
                np.lib.format.open_memmap(part.output / f"{name}.npy", "w+", np.dtype(dtype), (part.n,)).flush()
        if not len(p):  # nothing with a direction was there to learn
            for name, value in {"winner": -1, "score": 0, "passes": False}.items():
                np.load(part.output / f"{name}.npy", mmap_mode="r+")[:] = value
            return tasks.Counted(np.zeros(0, np.int64), np.zeros(p.shape, np.int64), np.zeros(0, np.int64))
        how = rho, moved, with_sums, self.plan.at_once
        some = [(part.path, learner, frozen, part.output, *span, *how) for span in ranges(part.n)]
        done = self.work.executor.map(tasks.assign, some, self.report.step)
        frozen.unlink()
        sums = np.zeros((len(p), done[0].sums.shape[1]), np.int64)
        for counted in done:
            sums += counted.sums
        sizes: I64 = np.sum([counted.sizes for counted in done], axis=0, dtype=np.int64)
        return tasks.Counted(sizes, sums, np.concatenate([counted.residual for counted in done]))


def merge_all(parts: Sequence[T], merge: Callable[[Sequence[T]], T], size: Callable[[T], int]) -> T:
    """Merge the shards' categories: all at once, or, above FLAT_MERGE, along a fixed binary tree of the shards."""
    level = list(parts)
    while len(level) > 1 and sum(map(size, level)) > FLAT_MERGE:
        level = [merge(level[k : k + 2]) for k in range(0, len(level), 2)]
    return merge(level)
