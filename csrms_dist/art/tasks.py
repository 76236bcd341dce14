"""The units of work of the sharded clustering: top-level functions of paths, ranges and numbers.

Each task reads a range of rows from a .npy file that never changes and returns a small result, so that it can run in
any process, in any order, and again after a failure. Rows are counted by the dense index.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from csrms_dist.art import fuzzy_art, kernels, spherical_art
from csrms_dist.art.clustering import COVER_TOLERANCE
from csrms_dist.art.fuzzy_art import Boxes
from csrms_dist.art.scaling import BLOCK, MinMaxScaling, blas, load_scaling
from csrms_dist.art.spherical_art import Categories

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_FUZZY_BLOCK = 1024  # rows whose complement codes are in memory at once


def first_bad_row(block: npt.NDArray[Any]) -> int:
    """The first row of the block that has NaN or infinite values, or -1."""
    bad = ~np.isfinite(block).all(axis=1)
    return int(np.argmax(bad)) if bad.any() else -1


def extremes(vectors: Path, start: int, stop: int) -> tuple[int, F64, F64]:
    """Minimum and maximum of the L2-normalised rows, each (D,), after the first bad row (-1: none)."""
    source = np.load(vectors, mmap_mode="r")
    parts = []
    for first in range(start, stop, BLOCK):
        block = source[first : min(stop, first + BLOCK)]
        bad = first_bad_row(block)
        if bad >= 0:
            return first + bad, np.zeros(0), np.zeros(0)
        parts.append(MinMaxScaling.extremes(block))
    return -1, np.min([low for low, _ in parts], axis=0), np.max([high for _, high in parts], axis=0)


def prepare(vectors: Path, scaling_folder: Path, prepared: Path, start: int, stop: int) -> tuple[int, int]:
    """Scale rows start..stop into the same rows of `prepared`. Returns the first bad row (-1: none) and the zero rows.

    Running it twice writes the same bytes twice.
    """
    source, scaling = np.load(vectors, mmap_mode="r"), load_scaling(scaling_folder)
    target = np.load(prepared, mmap_mode="r+")
    empty = 0
    for first in range(start, stop, BLOCK):
        block = source[first : min(stop, first + BLOCK)]
        bad = first_bad_row(block)
        if bad >= 0:
            return first + bad, 0
        rows = scaling.transform_block(block)
        target[first : first + len(rows)] = rows
        empty += int((~(rows if rows.dtype == np.int8 else np.asarray(block)).any(axis=1)).sum())
    target.flush()
    return -1, empty


def learn_spherical(rows: Path, start: int, stop: int, vigilance: float) -> Categories:
    """The categories of one virtual shard."""
    return spherical_art.learn(np.load(rows, mmap_mode="r")[start:stop], vigilance)


def learn_fuzzy(rows: Path, start: int, stop: int, vigilance: float, choice: float, learning_rate: float) -> Boxes:
    """The boxes of one virtual shard."""
    points, boxes = np.load(rows, mmap_mode="r"), None
    for first in range(start, stop, BLOCK):
        codes = fuzzy_art.complement_code(points[first : min(stop, first + BLOCK)])
        boxes = fuzzy_art.learn(codes, vigilance, choice=choice, learning_rate=learning_rate, known=boxes)[0]
    return boxes if boxes is not None else fuzzy_art.learn(fuzzy_art.complement_code(points[:0]), vigilance)[0]


def assign_spherical(
    rows: Path, prototypes: Path, start: int, stop: int, vigilance: float, with_sums: bool
) -> tuple[I32, F32, Flags, I64 | None]:
    """Winner (-1: no direction), cosine and whether it reaches the vigilance, each (stop - start,).

    With sums: also the int64 sum of the rows of each prototype, (J, D), for the all-reduce of recentring.
    """
    q = np.ascontiguousarray(np.load(rows, mmap_mode="r")[start:stop])
    p = np.load(prototypes)
    with blas().limit(limits=1, user_api="blas"):
        winner, score = spherical_art.assign(q, p)
    passes = spherical_art.joins(q, p, winner, vigilance)
    winner[~q.any(axis=1)] = -1
    sums = None
    if with_sums:
        sums = np.zeros(p.shape, np.int64)
        kernels.add_members(q, winner, sums)
    return winner, score, passes, sums


def assign_fuzzy(rows: Path, boxes: Path, start: int, stop: int, vigilance: float, choice: float) -> tuple[I32, F32]:
    """Winner (-1: none passes the vigilance, with the declared tolerance) and choice value, each (stop - start,)."""
    points, w = np.load(rows, mmap_mode="r"), np.load(boxes)
    parts = []
    for first in range(start, stop, _FUZZY_BLOCK):
        codes = fuzzy_art.complement_code(points[first : min(stop, first + _FUZZY_BLOCK)])
        parts.append(fuzzy_art.assign(codes, w, vigilance - COVER_TOLERANCE, choice=choice))
    return np.concatenate([winner for winner, _ in parts]), np.concatenate([score for _, score in parts])
