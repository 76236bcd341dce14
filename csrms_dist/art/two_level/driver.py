"""Two-level clustering over virtual shards: learn each shard, merge, freeze, assign every row.

The virtual shards are part of the result; who computes them, in which order and on how many workers is not: rows are
placed and ordered by hashes of their ids, merges sort by the whole category, and what is summed over rows is exact.
Work goes through an `Executor`, an algorithm through a `Learner`; these modules know nothing about what is behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from csrms_dist.art.scaling import BLOCK
from csrms_dist.art.two_level.grain import LEVELS, Grain, Partition, fewest, find_grain, in_another_order, partition
from csrms_dist.art.two_level.plan import EVERY_ROW, Found, S
from csrms_dist.art.two_level.prepare import Fit, Prepared, prepare
from csrms_dist.art.two_level.prototypes import numbering
from csrms_dist.art.two_level.settle import Part, Settled, Settling
from csrms_dist.art.two_level.steps import Arrays
from csrms_dist.art.two_level.vigilance import MAX_STEPS, bisect
from csrms_dist.art.two_level.work import Work
from csrms_dist.basics.arrays import I64

Tried = tuple[tuple[float, int], ...]


def find_patterns(work: Work, rows: Path, fit: Fit[S]) -> Found[S]:
    """All phases over the rows of a file, which must not change meanwhile. At the end the work's folder is removed.

    fit: gives the transform through which the rows become the learner's. Raises DataError as `prepare` does.
    """
    prepared = prepare(work, rows, fit)
    chosen, first = work.select()
    source = np.load(prepared.path, mmap_mode="r")
    learnt = work.folder / "learnt.npy"
    ascending = np.argsort(chosen)
    taken = np.empty((len(chosen), source.shape[1]), source.dtype)
    taken[ascending] = source[chosen[ascending]]
    np.save(learnt, taken)
    spans = [(a, b) for a, b in zip(first[:-1].tolist(), first[1:].tolist(), strict=True) if a < b]

    def in_order(places: I64) -> I64:
        ordered = work.keys.in_order(chosen[places])
        return np.asarray(ascending[np.searchsorted(chosen[ascending], ordered)])

    few = Settling(work, Part(learnt, len(chosen), in_order, work.folder / "few"), learnt, spans)
    every = Part(prepared.path, len(source), work.keys.in_order, work.folder / "many")
    many = Settling(work, every, learnt, spans, work.report, work.steps)
    counted = few
    if work.plan.learner.covers and every.n > few.part.n:  # rows that were not learnt add boxes, and none may go
        counted = Settling(work, replace(every, output=work.folder / "counted"), learnt, spans)
    search = _vigilance(work, few, counted, bool(taken.any()))
    settled = many.settle(search.rho, few, bounded=search.sought)
    with work.report.phase("finish"):
        if work.plan.kmeans:
            search = search._replace(rho=EVERY_ROW)
        found = _numbered(every, settled, search, prepared)
    work.steps.remove()
    return found


class Search(NamedTuple):
    """The vigilance rho, each step of the search for it, the grain that it comes from, and whether it was sought."""

    rho: float
    tried: Tried = ()
    grain: Grain | None = None
    sought: bool = False


def _vigilance(work: Work, few: Settling, counted: Settling, possible: bool) -> Search:
    """The vigilance as it was given, or that of the rows' grain, or the one that the bisection finds.

    few: the rows to learn. counted: the rows on which the bisection counts patterns.
    """
    plan, report = work.plan, work.report
    if plan.vigilance is not None or not possible or plan.kmeans == "random":
        with report.phase("vigilance"):
            return Search(plan.vigilance or 0.0)
    with report.phase("vigilance", MAX_STEPS + (len(LEVELS) if plan.grain else 0)):
        grain = _grain(work, few) if plan.grain else None
        if grain is not None:
            return Search(grain.vigilance, grain=grain)

        def count(rho: float) -> tuple[int, bool]:
            def made() -> Arrays:
                return {"count": np.array(counted.count(rho), np.int64)}

            patterns, too_high = work.steps.step(f"vigilance {rho.hex()}", made)["count"].tolist()
            report.step()
            return patterns, bool(too_high)

        return Search(*bisect(count, plan.n_patterns), sought=True)


def _grain(work: Work, few: Settling) -> Grain | None:
    """The grain of the rows to learn: in their own order, and in another that depends on it alone."""
    plan = work.plan

    def of(shards: Sequence[I64], rhos: Sequence[float]) -> list[Partition]:
        tasks = [(few.learnt, plan.learner, shards, rho, plan.min_size) for rho in rhos]
        return work.executor.map(partition, tasks, work.report.step)

    own = [np.arange(a, b) for a, b in few.spans]
    again = in_another_order(few.part.n, len(own))

    def made() -> Arrays:
        found = find_grain(partial(of, own), partial(of, again), fewest(few.learnt, plan.grain))
        return {"grain": np.array(found or (), np.float64)}

    kept = work.steps.step("grain", made)["grain"].tolist()
    return Grain(kept[0], int(kept[1]), *kept[2:]) if kept else None


def _numbered(part: Part, settled: Settled, search: Search, prepared: Prepared[S]) -> Found[S]:
    """The result, with patterns numbered and those without rows left out."""
    p, sizes = settled.prototypes, settled.sizes
    if not len(p):  # no row has a direction
        p, sizes = np.zeros((1, p.shape[1]), p.dtype), np.zeros(1, np.int64)
    order, number = numbering(p, sizes)
    files = part.files()
    pattern = np.empty(part.n, np.int32)
    for start in range(0, part.n, BLOCK):
        winner = files["winner"][start : start + BLOCK]
        pattern[start : start + BLOCK] = np.where(winner >= 0, number[winner], -1)
    prototypes, score, passes = np.ascontiguousarray(p[order]), np.array(files["score"]), np.array(files["passes"])
    return Found(
        prototypes,
        pattern,
        score,
        passes,
        search.rho,
        search.tried,
        search.grain,
        prepared.transform,
        prepared.zero_rows,
        settled.moved,
        settled.cut,
    )
