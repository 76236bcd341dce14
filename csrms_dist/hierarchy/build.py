"""From an assignment of rows to patterns to a checked HierarchyGraph (CSRMS sec. 4.1.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
from scipy import sparse

from csrms_dist.basics.arrays import F32, I32, I64
from csrms_dist.errors import DataError
from csrms_dist.hierarchy.csr import canonical_csr, stored_rows
from csrms_dist.hierarchy.dominance import roles
from csrms_dist.hierarchy.graph import ROLE_DOMINATES, Csr, HierarchyGraph
from csrms_dist.hierarchy.pattern_counts import own_shares, pattern_counts
from csrms_dist.hierarchy.settings import GraphSettings
from csrms_dist.labels import MAX_CLASSES, LabelSpace, Membership


def _refuse(
    what: str, got: str, expected: str, remedy: str = "correct the assignment of rows to patterns"
) -> DataError:
    return DataError(what, got=got, expected=expected, remedy=remedy)


def _check_lengths(n_rows: int, **lengths: int) -> None:
    for name, length in lengths.items():
        if length != n_rows:
            raise _refuse(f"rows of {name}", str(length), f"{n_rows}, as many as patterns")


def _checked_pattern(pattern: npt.ArrayLike) -> I32:
    array = np.asarray(pattern)
    if array.ndim != 1 or len(array) == 0 or array.dtype.kind not in "iu":
        raise _refuse("pattern", f"shape {array.shape}, {array.dtype}", "whole numbers of shape (N,), N at least 1")
    if int(array.min()) < 0:
        raise _refuse("pattern", str(array.min()), "0..J-1")
    if int(array.max()) >= len(array):
        raise _refuse("pattern", str(array.max()), f"at most {len(array) - 1}, because every pattern has a row")
    empty = np.flatnonzero(np.bincount(array) == 0)
    if len(empty):
        raise _refuse(f"pattern {empty[0]}", "no rows", "at least one row in every pattern", "renumber the patterns")
    return array.astype(np.int32, copy=False)


def _checked_membership(membership: Membership, multi_label: bool) -> Membership:
    matrix = sparse.csr_array(membership)
    matrix.sum_duplicates()  # sorts the indices too; a no-op on canonical input
    if matrix.nnz and not (matrix.data == 1).all():
        raise _refuse(
            "membership", "a stored value other than 1", "0 and 1 alone", "build it with LabelSpace.membership"
        )
    labels = np.diff(matrix.indptr)
    if not multi_label and matrix.shape[1] and (labels != 1).any():
        row = int(np.flatnonzero(labels != 1)[0])
        raise _refuse(f"labels of row {row}", str(labels[row]), "one label", "declare the data multi-label")
    return canonical_csr(np.ones(matrix.nnz, np.uint8), matrix.indices, matrix.indptr, matrix.shape)


def build_hierarchy(
    pattern: npt.ArrayLike,
    score: npt.ArrayLike,
    membership: Membership,
    instance: npt.ArrayLike,
    *,
    dominance_threshold: float,
    n_positives: int,
    multi_label: bool,
) -> HierarchyGraph:
    """G_t = {Y, C, I} (CSRMS sec. 4.1.2) of N training rows.

    Parameters
    ----------
    pattern: (N,) whole numbers 0..J-1, every pattern non-empty.
    score: (N,) finite, stored as float32.
    membership: (N, K) 0/1 CSR, one label a row unless `multi_label`; with K = 0 no row has any.
    instance: (N,) dense index into the image table, strictly ascending.
    dominance_threshold: rho_2, a class whose share is above it dominates.
    n_positives: n of eq. 5, only for the fallback roles.

    Raises DataError when lengths, ranges, order or labels are not as above.
    """
    rows = _checked_pattern(pattern)
    scores, instances = np.asarray(score, np.float32), np.asarray(instance)
    if scores.ndim != 1 or instances.ndim != 1 or instances.dtype.kind not in "iu":
        raise _refuse("score and instance", f"shapes {scores.shape}, {instances.shape}", "numbers of shape (N,)")
    _check_lengths(len(rows), score=len(scores), instance=len(instances), membership=int(membership.shape[0]))
    if not np.isfinite(scores).all():
        raise _refuse("score", f"{scores[~np.isfinite(scores)][0]}", "finite numbers", "check the features for NaN")
    instances = instances.astype(np.int64, copy=False)
    if instances[0] < 0 or (np.diff(instances) <= 0).any():
        raise _refuse("instance", "indices out of order", "0 or more, strictly ascending", "sort the rows by instance")
    if not 0 <= dominance_threshold < 1:
        raise _refuse("dominance_threshold", str(dominance_threshold), "a number in [0, 1)", "change the setting")
    labels = _checked_membership(membership, multi_label)
    counts = pattern_counts(rows, labels)
    sizes = np.bincount(rows).astype(np.int64)
    role = roles(counts, sizes, dominance_threshold, n_positives)
    return assemble(
        rows, scores, labels, instances, counts, role, multi_label=multi_label, dominance_threshold=dominance_threshold
    )


def hierarchy_of(
    pattern: npt.ArrayLike,
    labels: Iterable[int | Sequence[int]],
    *,
    dominance_threshold: float = GraphSettings.dominance_threshold,
    n_positives: int = 10,
) -> HierarchyGraph:
    """The hierarchy of N rows from their patterns and labels alone, for use without a run.

    Parameters
    ----------
    pattern: (N,) whole numbers 0..J-1, every pattern non-empty: what any clustering gives.
    labels: N class indices 0..K-1, or N lists of them where a row may have several or none.
    dominance_threshold, n_positives: see `build_hierarchy`; the defaults are those of a run.

    Every score is 1, and row n is instance n. Raises DataError when lengths, ranges or labels are not as above.
    """
    rows = list(labels)
    several = any(np.ndim(row) for row in rows)
    each: Iterable[object] = chain.from_iterable(row if isinstance(row, Iterable) else [row] for row in rows)
    largest = max((int(k) for k in each if isinstance(k, int | np.integer)), default=-1)  # the others are refused below
    if largest >= MAX_CLASSES:
        raise _refuse("labels", str(largest), f"class indices below {MAX_CLASSES:,}", "number the classes 0..K-1")
    return build_hierarchy(
        pattern,
        np.ones(len(rows)),
        LabelSpace(tuple(map(str, range(largest + 1))), several).membership(rows),
        np.arange(len(rows)),
        dominance_threshold=dominance_threshold,
        n_positives=n_positives,
        multi_label=several,
    )


def assemble(
    pattern: I32,
    score: F32,
    membership: Membership,
    instance: I64,
    counts: Csr,
    role: Csr,
    *,
    multi_label: bool,
    dominance_threshold: float,
) -> HierarchyGraph:
    """The graph of checked parts: adds what follows from them (difficulty, dominated patterns, members of patterns)."""
    sizes = np.bincount(pattern, minlength=counts.shape[0]).astype(np.int64)
    dominated = np.zeros(len(sizes), np.bool_)
    dominated[stored_rows(role)[role.data == ROLE_DOMINATES]] = True
    return HierarchyGraph(
        instance=instance,
        pattern=pattern,
        score=score,
        difficulty=(1.0 - own_shares(pattern, membership, counts, sizes)).astype(np.float32),
        membership=membership,
        counts=counts,
        role=role,
        dominated=dominated,
        member_indptr=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        member_rows=np.argsort(pattern, kind="stable").astype(np.int64, copy=False),
        multi_label=bool(multi_label),
        dominance_threshold=float(dominance_threshold),
    )
