"""Two-level clustering over virtual shards: learn each shard, merge, freeze, assign every row.

The virtual shards are part of the result; who computes them, in which order and on how many workers is not: rows are
placed and ordered by hashes of their ids, merges sort by the whole category, and what is summed over rows is exact.
Work goes through an `Executor`, an algorithm through a `Learner`; these modules know nothing about what is behind them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from csrms_dist.art.scaling import BLOCK
from csrms_dist.art.two_level.plan import EVERY_ROW, Found, S
from csrms_dist.art.two_level.prepare import Fit, Prepared, prepare
from csrms_dist.art.two_level.prototypes import numbering
from csrms_dist.art.two_level.settle import Part, Settling
from csrms_dist.art.two_level.steps import Arrays
from csrms_dist.art.two_level.vigilance import MAX_STEPS, bisect
from csrms_dist.art.two_level.work import Work
from csrms_dist.basics.arrays import I64, Matrix

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
    rho, tried = _vigilance(work, few, bool(taken.any()))
    kmeans = bool(work.plan.kmeans)
    p, sizes, _ = many.settle(rho, few if kmeans else None)
    with work.report.phase("finish"):
        found = _numbered(every, p, sizes, EVERY_ROW if kmeans else rho, tried, prepared)
    work.steps.remove()
    return found


def _vigilance(work: Work, few: Settling, possible: bool) -> tuple[float, Tried]:
    """The vigilance as it was given, or the one that the bisection finds on the rows to learn."""
    plan, report = work.plan, work.report
    searched = plan.vigilance is None and possible and plan.kmeans != "random"
    with report.phase("vigilance", MAX_STEPS if searched else 1):
        if not searched:
            return plan.vigilance or 0.0, ()

        def count(rho: float) -> tuple[int, bool]:
            def made() -> Arrays:
                return {"count": np.array(few.count(rho), np.int64)}

            patterns, too_high = work.steps.step(f"vigilance {rho.hex()}", made)["count"].tolist()
            report.step()
            return patterns, bool(too_high)

        return bisect(count, plan.n_patterns)


def _numbered(part: Part, p: Matrix, sizes: I64, rho: float, tried: Tried, prepared: Prepared[S]) -> Found[S]:
    """The result, with patterns numbered and those without rows left out."""
    if not len(p):  # no row has a direction
        p, sizes = np.zeros((1, p.shape[1]), p.dtype), np.zeros(1, np.int64)
    order, number = numbering(p, sizes)
    files = part.files()
    pattern = np.empty(part.n, np.int32)
    for start in range(0, part.n, BLOCK):
        winner = files["winner"][start : start + BLOCK]
        pattern[start : start + BLOCK] = np.where(winner >= 0, number[winner], -1)
    prototypes, score, passes = np.ascontiguousarray(p[order]), np.array(files["score"]), np.array(files["passes"])
    return Found(prototypes, pattern, score, passes, rho, tried, prepared.transform, prepared.zero_rows)
