"""Rows placed among frozen prototypes, block by block, with ties as in the fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from csrms_dist.art.inputs import finite
from csrms_dist.art.rows import Rows
from csrms_dist.art.scaling import BLOCK, Transform
from csrms_dist.art.two_level.learner import Assigned, Learner
from csrms_dist.art.two_level.prototypes import canonical_order
from csrms_dist.basics.arrays import Matrix


def transformed(rows: Rows, transform: Transform, what: str = "row {} of X") -> Iterator[Matrix]:
    """The rows as the learner takes them, in blocks. Raises DataError for one that is not finite; `what` names it."""
    for start in range(0, len(rows), BLOCK):
        yield transform.transform_block(finite(np.asarray(rows[start : start + BLOCK]), start, what))


def blocks_of(rows: Matrix) -> Iterator[Matrix]:
    """Rows that are in memory, in blocks."""
    for start in range(0, len(rows), BLOCK):
        yield rows[start : start + BLOCK]


def placed(
    learner: Learner, blocks: Iterable[Matrix], prototypes: Matrix, vigilance: float, *, moved: bool
) -> Assigned:
    """Assign blocks of prepared rows; a winner is the number of its prototype, or -1.

    The learner sees the prototypes in canonical order, as it does in a fit, whatever their numbers.
    """
    order = canonical_order(prototypes)
    frozen = prototypes[order]
    none = Assigned(np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.bool_))
    parts = [none]
    for block in blocks:
        found = learner.assign(np.ascontiguousarray(block), frozen, vigilance, moved=moved)
        parts.append(found._replace(winner=np.where(found.winner >= 0, order[found.winner], -1).astype(np.int32)))
    winner, score, passes = (np.concatenate(values) for values in zip(*parts, strict=True))
    return Assigned(winner, score, passes)
