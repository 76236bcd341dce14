"""The rows that a layout found -> an opened `Layout`: the rules that hold whatever the layout.

Every id once, no image in two splits, every class with an image, every label in range; then the splits by hash. What
has no label is of the split unlabelled, or, where nothing has one, of the split train of a data set without classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pyarrow as pa

from csrms_dist.basics.arrays import I64, U8, Bools
from csrms_dist.basics.arrow import joined_texts
from csrms_dist.basics.hashing import repeated_ids, texts
from csrms_dist.datasets.decoding import Stored
from csrms_dist.datasets.image_source import (
    TEST,
    TRAIN,
    UNLABELLED,
    Chosen,
    ImageSource,
    Layout,
    Reader,
    Selected,
    narrowed,
    refuse_repeated,
    uris_of,
)
from csrms_dist.datasets.layouts.layout_format import ALL, SIDES, Found, Rows
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.datasets.splits import held_out
from csrms_dist.errors import DataError
from csrms_dist.labels import LabelRows, LabelSpace, Membership, checked_labels, membership_from_csr

_LEFT_OUT = 255
"""Beside the splits' codes: an image that `data.max_train` leaves out."""


def assemble(found: Found, settings: DataSettings) -> Layout:
    """Check what was found and divide it. Raises DataError for everything that docs/data.md refuses."""
    sides = {side: found.sides[side] for side in (*SIDES, ALL) if side in found.sides}
    sides = {side: _with_unique_ids(found.name, side, rows, settings) for side, rows in sides.items()}
    for one, other in combinations(sides, 2):
        _refuse_shared(found.name, one, sides[one].ids, other, sides[other].ids)
    pool = _pooled(found, sides, settings.label_column == "none")
    if not len(pool.ids):
        raise DataError(found.name, got="no train images", expected="at least one", remedy="check data.path")
    if pool.unlabelled.all():
        return _without_classes(found, pool, settings)
    space = _classes(found, pool)
    membership = membership_from_csr(pool.offsets, pool.labels, space.n_classes)
    notes = [*found.notes, *_divide(found, sides, pool, membership, settings)]
    train, test = (
        pool.source(found.name, space, membership, np.flatnonzero(rows), settings)
        for rows in ((pool.code != TEST) & (pool.code != _LEFT_OUT), pool.code == TEST)
    )
    remedies = {"train": "check data.path", "test": "give data.test_path or raise data.test_fraction"}
    for side, code in (("train", TRAIN), ("test", TEST)):
        if not (pool.code == code).any():
            raise DataError(found.name, got=f"no {side} images", expected="at least one", remedy=remedies[side])
    test_only, alone = _without_training(train, test)
    return Layout(found.name, space, train, test, test_only, (*notes, *alone))


@dataclass(frozen=True)
class _Pool:
    """The rows of all sides, one side after the other: train, val, test, or all. code: (N,), the split of each."""

    ids: pa.StringArray
    offsets: I64
    labels: I64
    unlabelled: Bools
    code: U8
    images: Reader

    def source(
        self, name: str, space: LabelSpace, membership: Membership, rows: I64, settings: DataSettings
    ) -> ImageSource:
        size = settings.image_size
        shape = None if isinstance(size, str) else (size, size, 3)
        ids, images = self.ids.take(pa.array(rows)), Selected(self.images, rows)
        return ImageSource(name, space, ids, membership[rows], self.code[rows], images, shape)


def _pooled(found: Found, sides: Mapping[str, Rows], ignore_labels: bool) -> _Pool:
    labels: list[LabelRows] = []
    for side, rows in sides.items():
        n = len(rows.ids)
        if ignore_labels:
            labels.append(LabelRows(np.zeros(n + 1, np.int64), np.zeros(0, np.int64), np.ones(n, np.bool_)))
        else:
            what = found.name if side == ALL else f"{found.name}, {side}"
            labels.append(
                checked_labels(
                    what, rows.ids, rows.offsets, rows.labels, rows.unlabelled, found.multi_label, found.n_classes
                )
            )
    joined = LabelRows.joined(labels)
    return _Pool(
        joined_texts([rows.ids for rows in sides.values()]),
        joined.offsets,
        joined.indices.astype(np.int64, copy=False),
        joined.unlabelled,
        np.concatenate([np.full(len(rows.ids), SIDES.get(side, TRAIN), np.uint8) for side, rows in sides.items()]),
        _Chained(tuple((rows.images, len(rows.ids)) for rows in sides.values())),
    )


@dataclass(frozen=True)
class _Chained:
    """Some readers as one, of ascending rows: each reader's are numbered after those of the readers before it."""

    readers: tuple[tuple[Reader, int], ...]

    def __call__(self, rows: I64) -> Iterator[Stored]:
        first = 0
        for reader, n in self.readers:
            some = rows[(rows >= first) & (rows < first + n)] - first
            if len(some):
                yield from reader(some)
            first += n

    def narrowed(self, rows: I64) -> Selected:
        parts, first = [], 0
        for reader, n in self.readers:
            some = rows[(rows >= first) & (rows < first + n)] - first
            if len(some):
                part = narrowed(reader, some)
                parts.append((Chosen(part.read, part.rows), len(some)))
            first += n
        return Selected(parts[0][0] if len(parts) == 1 else _Chained(tuple(parts)), np.arange(len(rows)))

    def uris(self, rows: I64) -> pa.StringArray | None:
        """Where the images lie, '' where a reader cannot say; None where none can."""
        parts: list[pa.StringArray | None] = []
        sizes, first = [], 0
        for reader, n in self.readers:
            some = rows[(rows >= first) & (rows < first + n)] - first
            parts.append(uris_of(reader, some))
            sizes.append(len(some))
            first += n
        if all(part is None for part in parts):
            return None
        return joined_texts(
            [pa.array([""] * n, pa.string()) if part is None else part for part, n in zip(parts, sizes, strict=True)]
        )


def _without_classes(found: Found, pool: _Pool, settings: DataSettings) -> Layout:
    """A data set in which no row has a label: all rows are of the split train."""
    pool = replace(pool, code=np.full(len(pool.ids), TRAIN, np.uint8))
    space = LabelSpace(())
    none = membership_from_csr(np.zeros(len(pool.ids) + 1, np.int64), np.zeros(0, np.int64), 0)
    train, test = (pool.source(found.name, space, none, np.arange(n), settings) for n in (len(pool.ids), 0))
    note = f"{found.name}: none of {len(pool.ids):,} images has a label, so there is no class to learn"
    return Layout(found.name, space, train, test, (), (*found.notes, note))


# ----------------------------------------------------------------------------------------------------------------- ids


def _with_unique_ids(name: str, side: str, rows: Rows, settings: DataSettings) -> Rows:
    what = name if side == ALL else f"{name}, {side}"
    if rows.ids.null_count:
        row = rows.ids.is_null().to_pylist().index(True)
        raise DataError(f"{what}", got=f"no id in row {row}", expected="an id in every row", remedy="fill it in")
    if settings.on_duplicate_id == "error":
        refuse_repeated(what, rows.ids)
        return rows
    pairs = repeated_ids(rows.ids)
    if not pairs:
        return rows
    names = list(texts(rows.ids))
    counts: dict[int, int] = {}
    for first, again in pairs:
        counts[first] = counts.get(first, 1) + 1
        names[again] = f"{names[first]}#{counts[first]}"
    ids = pa.array(names, pa.string())
    if left := repeated_ids(ids):
        raise DataError(
            what, got=f"the id '{ids[left[0][0]]}' beside what a suffix makes", expected="every id once",
            remedy="make the ids unique",
        )  # fmt: skip
    return replace(rows, ids=ids)


def _refuse_shared(name: str, one: str, ids: pa.StringArray, other: str, others: pa.StringArray) -> None:
    """Raises DataError for an id that two splits have."""
    hashes, beside = (np.fromiter((hash(text) for text in texts(some)), np.int64, len(some)) for some in (ids, others))
    rows = np.flatnonzero(np.isin(hashes, beside))
    if len(rows):
        known = set(others.take(pa.array(np.flatnonzero(np.isin(beside, hashes)))).to_pylist())
        shared = [text for text in ids.take(pa.array(rows)).to_pylist() if text in known]
        if shared:
            raise DataError(
                name, got=f"the id '{shared[0]}' in {one} and in {other} ({len(shared):,} such ids)",
                expected="every id in one split", remedy="remove it from one of them",
            )  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- labels


def _classes(found: Found, pool: _Pool) -> LabelSpace:
    n_classes = found.n_classes or int(pool.labels.max(initial=-1)) + 1
    if n_classes == 0:  # with several labels: every list is empty
        raise DataError(found.name, got="no label at all", expected="at least one class")
    space = LabelSpace(tuple(found.names.get(k, str(k)) for k in range(n_classes)), found.multi_label)
    seen = np.zeros(n_classes, np.bool_)
    seen[pool.labels] = True
    empty = np.flatnonzero(~seen)
    if len(empty):
        raise DataError(
            found.name, got=f"no image of the class {_class(space, int(empty[0]))} ({len(empty):,} such classes)",
            expected="an image of every class", remedy="leave the class out or number the classes without gaps",
        )  # fmt: skip
    return space


def _class(space: LabelSpace, k: int) -> str:
    name = space.class_names[k]
    return f"'{name}'" if name == str(k) else f"'{name}' ({k})"


def _without_training(train: ImageSource, test: ImageSource) -> tuple[tuple[int, ...], list[str]]:
    """The classes that have no image in the split train, and the sentence about them."""
    space = train.label_space
    seen = np.zeros(space.n_classes, np.bool_)
    seen[train.membership[train.split == TRAIN].indices] = True
    missing = np.flatnonzero(~seen)
    if not len(missing):
        return (), []
    images = int(np.isin(test.membership.indices, missing).sum())
    first = _class(space, int(missing[0]))
    sentence = (
        f"{train.name}: the class {first} has no training image ({len(missing):,} such classes); "
        f"their {images:,} test labels count as wrong"
    )
    return tuple(missing.tolist()), [sentence]


# -------------------------------------------------------------------------------------------------------------- splits


def _divide(
    found: Found, sides: Mapping[str, Rows], pool: _Pool, membership: Membership, settings: DataSettings
) -> list[str]:
    """Write the final splits into `pool.code`, and return the notes about them."""
    notes = []
    if n := int(pool.unlabelled.sum()):
        notes.append(f"{found.name}: {n:,} of {len(pool.ids):,} images have no label: nothing is learnt from them")
    given = {side: bool((~pool.unlabelled & (pool.code == code)).any()) for side, code in SIDES.items()}
    nothing = {side: side in sides and len(sides[side].ids) > 0 and not given[side] for side in SIDES}
    pool.code[pool.unlabelled] = UNLABELLED
    if ALL in sides or nothing["test"]:
        _hold_out(found, pool, membership, settings.test_fraction, "test")
    if "val" not in sides or nothing["val"]:
        _hold_out(found, pool, membership, settings.val_fraction, "val")
    told = "{0}: no {1} image has a label, so {1} is held out of the training images"
    if settings.max_train:
        notes += _sample(found, pool, membership, settings.max_train)
    return notes + [told.format(found.name, side) for side in ("val", "test") if nothing[side]]


def _sample(found: Found, pool: _Pool, membership: Membership, most: int) -> list[str]:
    """Leave training images out where there are more than `most`; about so many stay, the same share of each class and
    at least one image of it."""
    rows = np.flatnonzero(pool.code == TRAIN)
    if len(rows) <= most:
        return []
    left = held_out(pool.ids.take(pa.array(rows)), membership[rows], 1 - most / len(rows), "sample", found.multi_label)
    pool.code[rows[left]] = _LEFT_OUT
    return [f"{found.name}: {int((~left).sum()):,} of {len(rows):,} training images are used (data.max_train)"]


def _hold_out(found: Found, pool: _Pool, membership: Membership, fraction: float, split: str) -> None:
    rows = np.flatnonzero(pool.code == TRAIN)
    mask = held_out(pool.ids.take(pa.array(rows)), membership[rows], fraction, split, found.multi_label)
    pool.code[rows[mask]] = SIDES[split]
