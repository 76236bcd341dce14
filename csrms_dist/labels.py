"""Single or multi label -> membership (N, K), a sparse 0/1 matrix in which the single-label case is one-hot.

Membership is what all code computes with. The flag `LabelSpace.multi_label` goes with it to the places where the two
cases mean different things: how labels are read, checked and held out (datasets, features, hierarchy), whether
positives are weighted by their labels (sampling), the head's loss, first bias and probabilities, and what is measured.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from csrms_dist.basics.arrays import I64, Bools
from csrms_dist.basics.hashing import Texts, text_at
from csrms_dist.errors import DataError

Membership: TypeAlias = sparse.csr_array
"""(N, K) uint8, canonical: sorted indices, no duplicates, every stored value 1."""

MAX_CLASSES = 10_000_000
"""A larger class index is taken for a mistake (an id in the place of a label): memory grows with the largest one."""


def membership_from_csr(
    indptr: npt.NDArray[np.integer], indices: npt.NDArray[np.integer], n_classes: int
) -> Membership:
    """The (N, K) membership of label lists in CSR form; duplicates within a row count once."""
    matrix = sparse.csr_array(
        (np.ones(len(indices), dtype=np.uint8), np.array(indices, np.int32), np.array(indptr, np.int64)),
        shape=(len(indptr) - 1, n_classes),
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _class_indices(label: Any) -> list[int]:
    """A class index, a list of them or None as a list. Raises TypeError for anything but whole numbers."""
    if label is None:
        return []
    try:
        return [operator.index(label)]
    except TypeError:
        return [operator.index(k) for k in label]


@dataclass(frozen=True)
class LabelSpace:
    """The classes, in the order of their index, and whether an image may have several of them.

    No classes at all are those of a data set in which nothing has a label.
    """

    class_names: tuple[str, ...]
    multi_label: bool = False

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    def membership(self, labels: Iterable[int | Sequence[int] | None], ids: Sequence[str] | None = None) -> Membership:
        """Labels of N instances (class indices, lists of them, or None where nobody gave any) -> membership (N, K).

        Raises DataError, naming the instance, when a label is outside 0..K-1, or when a single-label instance has
        several labels or an empty list of them.
        """
        rows = []
        for n, label in enumerate(labels):
            name = ids[n] if ids is not None else f"row {n}"
            try:
                row = _class_indices(label)
            except TypeError as error:
                raise DataError(
                    f"label of {name}", got=repr(label), expected="a class index, a whole number, or a list of them"
                ) from error
            bad = [k for k in row if not 0 <= k < self.n_classes]
            if bad:
                raise DataError(
                    f"label of {name}", got=str(bad[0]), expected=f"a class index in 0..{self.n_classes - 1}",
                    remedy="correct the label or the list of classes",
                )  # fmt: skip
            if label is not None and not self.multi_label and len(row) != 1:
                got = f"{len(row)} labels"
                raise DataError(f"labels of {name}", got=got, expected="one label", remedy="use the column `labels`")
            rows.append(row)
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)
        return membership_from_csr(indptr, np.array([k for row in rows for k in row], dtype=np.int32), self.n_classes)


@dataclass(frozen=True)
class LabelRows:
    """The class indices of N rows in CSR form, offsets (N + 1,) and indices (L,). unlabelled: (N,), without any."""

    offsets: I64
    indices: npt.NDArray[np.integer[Any]]
    unlabelled: Bools

    @classmethod
    def joined(cls, parts: Sequence[LabelRows]) -> LabelRows:
        """The rows of some parts, one part after the other."""
        counts = [np.diff(part.offsets) for part in parts] or [np.zeros(0, np.int64)]
        return cls(
            np.concatenate([[0], np.cumsum(np.concatenate(counts), dtype=np.int64)]),
            np.concatenate([part.indices for part in parts] or [np.zeros(0, np.int64)]),
            np.concatenate([part.unlabelled for part in parts] or [np.zeros(0, np.bool_)]),
        )


def checked_labels(
    what: str,
    ids: Texts,
    offsets: I64,
    indices: npt.NDArray[np.integer[Any]],
    unlabelled: Bools | None,
    multi_label: bool,
    n_classes: int = 0,
) -> LabelRows:
    """Labels as they were found, checked, and without those that stand for none.

    Nobody labelled a row of -1 alone, a row of `unlabelled` and, in single-label data, a row without a label. Raises
    DataError, naming the row, for a class index outside 0..n_classes - 1 (0: MAX_CLASSES) and for several labels in
    single-label data.
    """
    limit = n_classes or MAX_CLASSES
    counts = np.diff(offsets)
    missing = np.zeros(len(counts), np.bool_) if unlabelled is None else unlabelled.copy()
    if not multi_label:
        missing |= counts == 0
        if (counts > 1).any():
            row = int(np.argmax(counts > 1))
            raise DataError(
                f"{what}: label of '{text_at(ids, row)}'", got=f"{counts[row]} labels", expected="one label",
                remedy="use labels for several",
            )  # fmt: skip
    alone = counts == 1
    missing[alone] |= indices[offsets[:-1][alone]] == -1
    kept = np.repeat(~missing, counts)
    bad = np.flatnonzero(kept & ((indices < 0) | (indices >= limit)))
    if len(bad):
        row = int(np.searchsorted(offsets, bad[0], "right")) - 1
        raise DataError(
            f"{what}: label of '{text_at(ids, row)}'", got=str(indices[bad[0]]),
            expected=f"a class index in 0..{limit - 1}", remedy="number the classes from 0",
        )  # fmt: skip
    if kept.all():
        return LabelRows(offsets, indices, missing)
    ends = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(np.where(missing, 0, counts), out=ends[1:])
    return LabelRows(ends, indices[kept], missing)


def label_lists(membership: Membership) -> list[list[int]]:
    """Membership (N, K) -> the class indices of each instance, ascending."""
    indices = membership.indices.tolist()
    return [indices[start:stop] for start, stop in pairwise(membership.indptr.tolist())]


def single_labels(membership: Membership) -> I64:
    """One-hot membership (N, K) -> class indices (N,). Raises DataError when a row has not exactly one label."""
    if membership.shape[0] and not (np.diff(membership.indptr) == 1).all():
        raise DataError("labels", got="an instance without exactly one label", expected="single-label data")
    return np.asarray(membership.indices, dtype=np.int64)
