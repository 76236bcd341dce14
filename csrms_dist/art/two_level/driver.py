"""Two-level clustering over virtual shards: learn each shard, merge, freeze, assign every row.

The virtual shards are part of the result; who computes them, in which order and on how many workers is not: rows are
placed and ordered by hashes of their ids, merges sort by the whole category, and what is summed over rows is exact.
Work goes through an `Executor`; this module knows nothing about what runs it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from csrms_dist.art.scaling import BLOCK, blas
from csrms_dist.art.two_level import tasks
from csrms_dist.art.two_level.executors import Executor, SerialExecutor
from csrms_dist.art.two_level.plan import EVERY_ROW, Found, TwoLevel
from csrms_dist.art.two_level.prototypes import MOST_TURNS, canonical, first_distinct, numbering, surviving
from csrms_dist.art.two_level.selection import RowKeys, learning_rows
from csrms_dist.art.two_level.steps import Arrays, Checkpoint
from csrms_dist.art.two_level.vigilance import MAX_STEPS, bisect
from csrms_dist.basics.arrays import I64, Matrix

T = TypeVar("T")


FLAT_MERGE = 100_000  # categories that are merged at once; above it neighbouring shards are merged first
MAX_RANGES = 64  # tasks of one pass over the rows, so that the recentring sums of all of them fit in memory

Progress = Callable[[str, int, int], None]
Phase = Callable[..., AbstractContextManager[Callable[..., None]]]


def _silent(phase: str, done: int, total: int) -> None:
    pass


def _ignored(*_: object) -> None:
    pass


def _unheard(phase: str) -> None:
    pass


@dataclass(frozen=True)
class _Part:
    """Some prepared rows: a .npy file, how rows of it are put in hash order, and a folder for their assignment."""

    path: Path
    n: int
    in_order: Callable[[I64], I64]
    output: Path

    def files(self) -> dict[str, Matrix]:
        """The assignment's files, memory-mapped."""
        return {name: np.load(self.output / f"{name}.npy", mmap_mode="r") for name in tasks.OUTPUTS}


class Driver:
    """One clustering. Finished steps are kept in `folder`, and those that are there already are read.

    inputs: what names the rows, as JSON can hold it, so that the steps of other rows are not taken for theirs.
    executor: who runs the tasks, this process by default. progress: called as progress(phase, done, total), phases as
    in PHASES. after_phase: called after each phase.
    """

    def __init__(
        self,
        plan: TwoLevel,
        keys: RowKeys,
        folder: Path,
        inputs: Any,
        executor: Executor | None = None,
        progress: Progress = _silent,
        after_phase: Callable[[str], None] = _unheard,
    ) -> None:
        self.plan, self.keys, self.folder = plan, keys, folder
        self.executor = executor or SerialExecutor()
        self.progress, self.after_phase = progress, after_phase
        self.steps = Checkpoint(folder, [repr(plan), inputs])
        self._passes = 0

    @contextmanager
    def phase(self, name: str, total: int = 1) -> Iterator[Callable[..., None]]:
        """Report the phase; the value is called once for each of its steps."""
        done = 0

        def step(*_: object) -> None:
            nonlocal done
            done += 1
            self.progress(name, min(done, total), total)

        self.progress(name, 0, total)
        yield step
        if done < total:
            self.progress(name, total, total)
        self.after_phase(name)

    def select(self) -> tuple[I64, I64]:
        """The rows to learn (R,), shard after shard, and the first of each shard (V + 1,)."""
        plan = self.plan

        def made() -> Arrays:
            return dict(zip(("rows", "first"), learning_rows(self.keys, plan.shards, plan.learn_rows), strict=True))

        kept = self.steps.step("selected", made)
        return kept["rows"], kept["first"]

    def cluster(self, rows: Path) -> Found:
        """All phases after the preparation of `rows`, a .npy file that does not change."""
        chosen, first = self.select()
        source = np.load(rows, mmap_mode="r")
        learnt = self.folder / "learnt.npy"
        ascending = np.argsort(chosen)
        taken = np.empty((len(chosen), source.shape[1]), source.dtype)
        taken[ascending] = source[chosen[ascending]]
        np.save(learnt, taken)
        spans = [(a, b) for a, b in zip(first[:-1].tolist(), first[1:].tolist(), strict=True) if a < b]

        def in_order(places: I64) -> I64:
            ordered = self.keys.in_order(chosen[places])
            return np.asarray(ascending[np.searchsorted(chosen[ascending], ordered)])

        few = _Settling(self, _Part(learnt, len(chosen), in_order, self.folder / "few"), learnt, spans)
        many = _Settling(self, _Part(rows, len(source), self.keys.in_order, self.folder / "many"), learnt, spans)
        rho, tried = self._vigilance(few, bool(taken.any()))
        p, sizes, _ = many.settle(rho, few if self.plan.kmeans else None, self.steps.step, self.phase)
        with self.phase("finish"):
            return self._numbered(many.part, p, sizes, EVERY_ROW if self.plan.kmeans else rho, tried)

    def _vigilance(self, few: _Settling, possible: bool) -> tuple[float, tuple[tuple[float, int], ...]]:
        """The vigilance as it was given, or the one that the bisection finds on the rows to learn."""
        given, kmeans = self.plan.vigilance, self.plan.kmeans
        searched = given is None and possible and kmeans != "random"
        with self.phase("vigilance", MAX_STEPS if searched else 1) as step:
            if not searched:
                return given or 0.0, ()

            def count(rho: float) -> tuple[int, bool]:
                def made() -> Arrays:
                    return {"count": np.array(few.count(rho), np.int64)}

                patterns, too_high = self.steps.step(f"vigilance {rho.hex()}", made)["count"].tolist()
                return patterns, bool(too_high)

            return bisect(count, self.plan.n_patterns, step)

    def _numbered(self, part: _Part, p: Matrix, sizes: I64, rho: float, tried: tuple[tuple[float, int], ...]) -> Found:
        if not len(p):  # no row has a direction
            p, sizes = np.zeros((1, p.shape[1]), p.dtype), np.zeros(1, np.int64)
        order, number = numbering(p, sizes)
        files = part.files()
        pattern = np.empty(part.n, np.int32)
        for start in range(0, part.n, BLOCK):
            winner = files["winner"][start : start + BLOCK]
            pattern[start : start + BLOCK] = np.where(winner >= 0, number[winner], -1)
        prototypes = np.ascontiguousarray(p[order])
        return Found(prototypes, pattern, np.array(files["score"]), np.array(files["passes"]), rho, tried)

    def ranges(self, n: int) -> list[tuple[int, int]]:
        """At most MAX_RANGES ranges of whole blocks; what is computed does not depend on them."""
        step = -(-n // (BLOCK * MAX_RANGES)) * BLOCK
        return [(start, min(n, start + step)) for start in range(0, n, step)]

    def assign(
        self,
        part: _Part,
        p: Matrix,
        rho: float,
        *,
        moved: bool,
        with_sums: bool = False,
        after: Callable[..., None] = _ignored,
    ) -> tasks.Counted:
        """Assign all rows of a part to the frozen p; sums are all-reduced exactly."""
        spans = self.ranges(part.n)
        self._passes += 1
        frozen = self.folder / f"prototypes_{self._passes}.npy"  # a name that no earlier pass used
        np.save(frozen, p)
        if not part.output.exists():
            part.output.mkdir()
        for name, dtype in tasks.OUTPUTS.items():
            if not (part.output / f"{name}.npy").exists():
                np.lib.format.open_memmap(part.output / f"{name}.npy", "w+", np.dtype(dtype), (part.n,)).flush()
        if not len(p):  # nothing with a direction was there to learn
            for name, value in {"winner": -1, "score": 0, "passes": False}.items():
                np.load(part.output / f"{name}.npy", mmap_mode="r+")[:] = value
            return tasks.Counted(np.zeros(0, np.int64), np.zeros(p.shape, np.int64), np.zeros(0, np.int64))
        learner = self.plan.learner
        work = [(part.path, learner, frozen, part.output, *span, rho, moved, with_sums) for span in spans]
        done = self.executor.map(tasks.assign, work, after)
        frozen.unlink()
        sums = np.zeros((len(p), done[0].sums.shape[1]), np.int64)
        for counted in done:
            sums += counted.sums
        sizes: I64 = np.sum([counted.sizes for counted in done], axis=0, dtype=np.int64)
        return tasks.Counted(sizes, sums, np.concatenate([counted.residual for counted in done]))

    def remove(self) -> None:
        """Remove all steps and files."""
        shutil.rmtree(self.folder, ignore_errors=True)


def merge_all(parts: Sequence[T], merge: Callable[[Sequence[T]], T], size: Callable[[T], int]) -> T:
    """Merge the shards' categories: all at once, or, above FLAT_MERGE, along a fixed binary tree of the shards."""
    level = list(parts)
    while len(level) > 1 and sum(map(size, level)) > FLAT_MERGE:
        level = [merge(level[k : k + 2]) for k in range(0, len(level), 2)]
    return merge(level)


Step = Callable[[str, Callable[[], Arrays]], Arrays]


def _computed(name: str, make: Callable[[], Arrays]) -> Arrays:
    return make()


def _unreported(name: str, total: int = 1) -> AbstractContextManager[Callable[..., None]]:
    return nullcontext(_ignored)


class _Settling:
    """Learn, then settle the rows of a part: all rows, or, while the vigilance is searched for, the learnt ones."""

    def __init__(self, driver: Driver, part: _Part, learnt: Path, spans: list[tuple[int, int]]) -> None:
        self.driver, self.plan, self.part = driver, driver.plan, part
        self.learnt, self.spans = learnt, spans

    def count(self, rho: float) -> tuple[int, bool]:
        """Patterns at rho; too high where the mean size is under twice the smallest allowed."""
        sizes, found = self.settle(rho, None, _computed, _unreported)[1:]
        return int((sizes > 0).sum()), bool(sizes.sum() < 2 * self.plan.min_size * found)

    def settle(self, rho: float, few: _Settling | None, step: Step, phase: Phase) -> tuple[Matrix, I64, int]:
        """(prototypes (J, width) in canonical order, their sizes (J,), prototypes before small ones were dissolved).

        few: the learnt rows, on which k-means is run; None for ART. step: keeps what was computed, or computes it. The
        files of the part hold the assignment.
        """
        driver, plan = self.driver, self.plan
        passes = len(driver.ranges(self.part.n))
        if few is not None and plan.kmeans == "random":
            p = step("merged", lambda: {"p": few._random_rows()})["p"]
        else:
            with phase("learn", len(self.spans)) as each:
                merged = step("merged", lambda: {"p": self._merged(rho, each)})["p"]
            with phase("merge"):
                pass
            with phase("assign", passes) as each:
                p = step("settled", lambda: {"p": self._with_residual(merged, rho, each)})["p"]
        moved = False
        if few is not None:
            start, rho, moved = p, EVERY_ROW, True
            p = step("converged", lambda: {"p": few._lloyd(start)})["p"]
        with phase("recentre", (plan.recentre + 1) * passes) as each:
            for turn in range(plan.recentre):

                def centred(p: Matrix = p, moved: bool = moved) -> Arrays:
                    return {"p": self._centred(p, rho, moved, each)}

                p, moved = step(f"recentred {turn}", centred)["p"], True
            counted = driver.assign(self.part, p, rho, moved=moved, after=each)
            found, kept = len(p), surviving(counted.sizes, plan.min_size)
            if (counted.sizes[~kept] > 0).any():
                p = p[kept]
                counted = driver.assign(self.part, p, rho, moved=True)
        return p, counted.sizes, found

    def _merged(self, rho: float, after: Callable[..., None]) -> Matrix:
        learner = self.plan.learner
        work = [(self.learnt, learner, *span, rho) for span in self.spans]
        parts = self.driver.executor.map(tasks.learn, work, after)
        with blas().limit(limits=1, user_api="blas"):
            merged = merge_all(parts, lambda some: learner.merge(some, rho), learner.size)
        return canonical(learner.frozen(merged))

    def _with_residual(self, p: Matrix, rho: float, after: Callable[..., None]) -> Matrix:
        """p and the prototypes of the rows that none of them takes."""
        driver, learner, part = self.driver, self.plan.learner, self.part
        residual = driver.assign(part, p, rho, moved=False, after=after).residual if len(p) else np.arange(part.n)
        if not len(residual):
            return p
        chosen = part.in_order(residual)
        if not learner.learns_all_residual:
            chosen = chosen[: self.plan.learn_rows]
        source, path = np.load(part.path, mmap_mode="r"), driver.folder / "residual.npy"
        rows = np.lib.format.open_memmap(path, "w+", source.dtype, (len(chosen), source.shape[1]))
        for start in range(0, len(chosen), BLOCK):
            rows[start : start + BLOCK] = source[chosen[start : start + BLOCK]]
        rows.flush()
        [more] = driver.executor.map(tasks.residual, [(path, learner, rho)])
        path.unlink()
        return canonical(np.concatenate([p, more]) if len(p) else more)

    def _centred(self, p: Matrix, rho: float, moved: bool, after: Callable[..., None]) -> Matrix:
        counted = self.driver.assign(self.part, p, rho, moved=moved, with_sums=True, after=after)
        return canonical(self.plan.learner.centres(p, counted.sums, counted.sizes))

    def _lloyd(self, p: Matrix) -> Matrix:
        """k-means from p until nothing moves (Lloyd), at most MOST_TURNS times."""
        for _ in range(MOST_TURNS):
            before, p = p, self._centred(p, EVERY_ROW, True, _ignored)
            if np.array_equal(before, p):
                break
        return p

    def _random_rows(self) -> Matrix:
        """The first n_patterns distinct rows with a direction in hash order."""
        rows = np.load(self.learnt, mmap_mode="r")[self.part.in_order(np.arange(self.part.n))]
        return first_distinct(rows, self.plan.n_patterns)
