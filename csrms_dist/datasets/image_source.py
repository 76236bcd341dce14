"""The images of one table before they are read: ids, labels, splits, and the images one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from csrms_dist.basics.arrays import I64, U8
from csrms_dist.basics.hashing import Texts, repeated_ids, text_at
from csrms_dist.datasets.decoding import Shape, Stored
from csrms_dist.errors import DataError
from csrms_dist.labels import LabelSpace, Membership

SPLITS = ("train", "val", "test", "unlabelled")
TRAIN, VAL, TEST, UNLABELLED = range(4)

Reader: TypeAlias = Callable[[I64], Iterator[Stored]]
"""Ascending row numbers of a layout's file -> their images, read when they are asked for."""


@dataclass(frozen=True)
class ImageSource:
    """The images of one table, in a fixed order; nothing is decoded yet.

    ids: (N,), unique, as `refuse_repeated` checks.
    membership: (N, K); K is 0 where no row of the data set has a label, and all rows are of the split train.
    split: (N,) uint8, index into SPLITS.
    images: N images: bytes, files or pixels.
    shape: of all of them once they are read; None: the shape of the first readable one.
    """

    name: str
    label_space: LabelSpace
    ids: pa.StringArray
    membership: Membership
    split: U8
    images: Iterable[Stored]
    shape: Shape | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Selected:
    """Some rows of a layout's images, as an iterable."""

    read: Reader
    rows: I64

    def __iter__(self) -> Iterator[Stored]:
        return self.read(self.rows)

    def uris(self) -> pa.StringArray | None:
        """(N,) where each image lies, None where its reader cannot say."""
        return uris_of(self.read, self.rows)

    def part(self, rows: slice) -> Selected:
        """Some of them, which hold no more than they need, to be read by any process of any machine."""
        return narrowed(self.read, self.rows[rows])


@dataclass(frozen=True)
class Chosen:
    """Reads some rows of a reader, numbered anew."""

    read: Reader
    rows: I64

    def __call__(self, rows: I64) -> Iterator[Stored]:
        return self.read(self.rows[rows])

    def uris(self, rows: I64) -> pa.StringArray | None:
        return uris_of(self.read, self.rows[rows])

    def narrowed(self, rows: I64) -> Selected:
        return narrowed(self.read, self.rows[rows])


def narrowed(read: Reader, rows: I64) -> Selected:
    """Some rows of a reader, without what is needed for its others: a reader's own `narrowed` says it."""
    found: Callable[[I64], Selected] | None = getattr(read, "narrowed", None)
    return Selected(read, rows) if found is None else found(rows)


def uris_of(read: Reader, rows: I64) -> pa.StringArray | None:
    """(N,) where the images of some rows lie: what a reader's own `uris` says of them, None where it has none."""
    found: Callable[[I64], pa.StringArray | None] | None = getattr(read, "uris", None)
    return None if found is None else found(rows)


@dataclass(frozen=True)
class Layout:
    """An opened data set: its images of the splits train, val and unlabelled, and of test; none of them is decoded.

    train: its rows of the split unlabelled carry no label. test: without a row where the data set has no labels.
    test_only: classes without a training image. notes: what the user should know, as sentences.
    """

    name: str
    label_space: LabelSpace
    train: ImageSource
    test: ImageSource
    test_only: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def in_memory(
    name: str,
    label_space: LabelSpace,
    ids: Sequence[str],
    membership: Membership,
    split: Sequence[str],
    images: Iterable[Stored],
    shape: Shape | None = None,
) -> ImageSource:
    """A source from plain sequences; `split` in words. Raises DataError for an id that is there twice."""
    refuse_repeated(name, ids)
    codes = np.array([SPLITS.index(word) for word in split], np.uint8)
    return ImageSource(name, label_space, pa.array(ids, pa.string()), membership, codes, images, shape)


def refuse_repeated(what: str, ids: Texts) -> None:
    """Raises DataError for an id that is there twice."""
    if pairs := repeated_ids(ids):
        first, again = pairs[0]
        raise DataError(
            what, got=f"the id '{text_at(ids, first)}' in the rows {first} and {again}", expected="every id once",
            remedy="make the ids unique, or set data.on_duplicate_id to suffix",
        )  # fmt: skip
