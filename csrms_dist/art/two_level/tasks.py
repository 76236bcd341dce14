"""The units of work of the sharded clustering: top-level functions of paths, ranges, learners and numbers.

Each task reads a range of rows from a file that never changes, and returns a small result or writes the same range of
an output file, so that it can run in any process, in any order, and again after a failure.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from csrms_dist.art import kernels
from csrms_dist.art.rows import open_rows
from csrms_dist.art.scaling import BLOCK, MinMaxScaling, Transform, blas, load_scaling
from csrms_dist.art.two_level.learner import Learner
from csrms_dist.basics.arrays import F64, I64, Matrix

#: The files of an assignment: winner int32, score float32, passes bool, each (N,).
OUTPUTS = {"winner": np.int32, "score": np.float32, "passes": np.bool_}


class Counted(NamedTuple):
    """Of a range: rows of each prototype (J,), their sums (J, D), (J, 0) where not asked for, rows that none took."""

    sizes: I64
    sums: I64
    residual: I64


def first_bad_row(block: Matrix) -> int:
    """The first row of the block that has NaN or infinite values, or -1."""
    bad = ~np.isfinite(block).all(axis=1)
    return int(np.argmax(bad)) if bad.any() else -1


def extremes(rows: Path, start: int, stop: int) -> tuple[int, F64, F64]:
    """Minimum and maximum of the L2-normalised rows, each (D,), after the first bad row (-1: none)."""
    source = open_rows(rows)
    parts = []
    for first in range(start, stop, BLOCK):
        block = np.asarray(source[first : min(stop, first + BLOCK)])
        bad = first_bad_row(block)
        if bad >= 0:
            return first + bad, np.zeros(0), np.zeros(0)
        parts.append(MinMaxScaling.extremes(block))
    return -1, np.min([low for low, _ in parts], axis=0), np.max([high for _, high in parts], axis=0)


def prepare(rows: Path, transform: Transform | Path, prepared: Path, start: int, stop: int) -> tuple[int, int]:
    """Transform rows start..stop into the same rows of `prepared`. Returns the first bad row (-1: none) and zero rows.

    transform: or the folder of a saved scaling. Running it twice writes the same bytes twice.
    """
    source = open_rows(rows)
    transform = load_scaling(transform) if isinstance(transform, Path) else transform
    target = np.load(prepared, mmap_mode="r+")
    empty = 0
    for first in range(start, stop, BLOCK):
        block = np.asarray(source[first : min(stop, first + BLOCK)])
        bad = first_bad_row(block)
        if bad >= 0:
            return first + bad, 0
        out = transform.transform_block(block)
        target[first : first + len(out)] = out
        empty += int((~(out if out.dtype == np.int8 else block).any(axis=1)).sum())
    target.flush()
    return -1, empty


def learn(rows: Path, learner: Learner, start: int, stop: int, vigilance: float) -> Any:
    """The categories of one virtual shard."""
    with blas().limit(limits=1, user_api="blas"):
        return learner.learn(np.load(rows, mmap_mode="r")[start:stop], vigilance)


def residual(rows: Path, learner: Learner, vigilance: float) -> Matrix:
    """Prototypes of rows that none took."""
    with blas().limit(limits=1, user_api="blas"):
        return learner.residual(np.load(rows, mmap_mode="r"), vigilance)


def assign(
    rows: Path,
    learner: Learner,
    prototypes: Path,
    output: Path,
    start: int,
    stop: int,
    vigilance: float,
    moved: bool,
    with_sums: bool,
    at_once: int = BLOCK,
) -> Counted:
    """Write winner, score and passes of rows start..stop into the files of `output`; count, and sum if asked to.

    at_once: rows that the learner places in one call.
    """
    source, p = np.load(rows, mmap_mode="r"), np.load(prototypes)
    written = {name: np.load(output / f"{name}.npy", mmap_mode="r+") for name in OUTPUTS}
    sizes, sums = np.zeros(len(p), np.int64), np.zeros((len(p), source.shape[1] if with_sums else 0), np.int64)
    left = [np.zeros(0, np.int64)]
    with blas().limit(limits=1, user_api="blas"):
        for first in range(start, stop, at_once):
            block = np.ascontiguousarray(source[first : min(stop, first + at_once)])
            found = learner.assign(block, p, vigilance, moved=moved)
            for name, values in found._asdict().items():
                written[name][first : first + len(block)] = values
            sizes += np.bincount(found.winner[found.winner >= 0], minlength=len(p))
            if with_sums:
                kernels.add_members(learner.integers(block), found.winner, sums)
            left.append(first + np.flatnonzero(learner.is_residual(found)))
    for array in written.values():
        array.flush()
    return Counted(sizes, sums, np.concatenate(left))
