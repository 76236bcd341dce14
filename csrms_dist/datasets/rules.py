"""The rows that a layout found -> an opened `Layout`: the rules that hold whatever the layout.

Every id once, no image in two splits, every class with an image, every label in range; then the splits by hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pyarrow as pa

from csrms_dist.basics.arrays import I64, U8
from csrms_dist.basics.hashing import repeated_ids, texts
from csrms_dist.datasets.decoding import Stored
from csrms_dist.datasets.image_source import TEST, TRAIN, VAL, ImageSource, Layout, Reader, Selected, refuse_repeated
from csrms_dist.datasets.layouts.layout_format import ALL, Found, Rows
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.datasets.splits import held_out
from csrms_dist.errors import DataError
from csrms_dist.labels import MAX_CLASSES, LabelSpace, Membership, membership_from_csr


def assemble(found: Found, settings: DataSettings) -> Layout:
    """Check what was found and divide it. Raises DataError for everything that docs/data.md refuses."""
    sides = {side: _with_unique_ids(found.name, side, rows, settings) for side, rows in found.sides.items()}
    for one, other in combinations(sides, 2):
        _refuse_shared(found.name, one, sides[one].ids, other, sides[other].ids)
    sides, n_train = _with_val(sides)
    memberships, space = _labels(found, sides)
    parts = _divided(found, sides, memberships, space, settings)
    for side, remedy in (("train", "check data.path"), ("test", "give data.test_path or raise data.test_fraction")):
        if not len(parts[side]):
            raise DataError(found.name, got=f"no {side} images", expected="at least one", remedy=remedy)
    train, test = parts["train"], parts["test"]
    if n_train is None:
        val = held_out(train.ids, train.membership, settings.val_fraction, "val", found.multi_label)
    else:
        val = np.arange(len(train)) >= n_train
    train.split[val] = VAL
    test_only, notes = _without_training(train, test)
    return Layout(found.name, space, train, test, test_only, (*found.notes, *notes))


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


def _labels(found: Found, sides: Mapping[str, Rows]) -> tuple[dict[str, Membership], LabelSpace]:
    highest = -1
    limit = found.n_classes or MAX_CLASSES
    for side, rows in sides.items():
        what = found.name if side == ALL else f"{found.name}, {side}"
        counts = np.diff(rows.offsets)
        if not found.multi_label and (counts != 1).any():
            row = int(np.flatnonzero(counts != 1)[0])
            raise DataError(
                f"{what}: label of '{rows.ids[row]}'", got="nothing" if counts[row] == 0 else f"{counts[row]} labels",
                expected="one label", remedy="fill it in" if counts[row] == 0 else "use labels for several",
            )  # fmt: skip
        bad = np.flatnonzero((rows.labels < 0) | (rows.labels >= limit))
        if len(bad):
            row = int(np.searchsorted(rows.offsets, bad[0], "right")) - 1
            raise DataError(
                f"{what}: label of '{rows.ids[row]}'", got=str(rows.labels[bad[0]]),
                expected=f"a class index in 0..{limit - 1}", remedy="number the classes from 0",
            )  # fmt: skip
        highest = max(highest, int(rows.labels.max(initial=-1)))
    n_classes = found.n_classes or highest + 1
    if n_classes == 0:
        raise DataError(found.name, got="no label at all", expected="at least one class")
    seen = np.zeros(n_classes, np.bool_)
    for rows in sides.values():
        seen[rows.labels] = True
    space = LabelSpace(tuple(found.names.get(k, str(k)) for k in range(n_classes)), found.multi_label)
    empty = np.flatnonzero(~seen)
    if len(empty):
        raise DataError(
            found.name, got=f"no image of the class {_class(space, int(empty[0]))} ({len(empty):,} such classes)",
            expected="an image of every class", remedy="leave the class out or number the classes without gaps",
        )  # fmt: skip
    memberships = {side: membership_from_csr(rows.offsets, rows.labels, n_classes) for side, rows in sides.items()}
    return memberships, space


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


def _with_val(sides: Mapping[str, Rows]) -> tuple[dict[str, Rows], int | None]:
    """The given validation rows after the training rows, and how many of these there are; None: none is given."""
    if "val" not in sides:
        return dict(sides), None
    train, val = sides["train"], sides["val"]
    joined = Rows(
        pa.concat_arrays([train.ids, val.ids]),
        np.concatenate([train.offsets, val.offsets[1:] + train.offsets[-1]]),
        np.concatenate([train.labels, val.labels]),
        _Chained(train.images, len(train.ids), val.images),
    )
    rest = {side: rows for side, rows in sides.items() if side != "val"}
    return rest | {"train": joined}, len(train.ids)


@dataclass(frozen=True)
class _Chained:
    """Two readers as one: rows of the second are numbered after the `n` rows of the first."""

    first: Reader
    n: int
    second: Reader

    def __call__(self, rows: I64) -> Iterator[Stored]:
        yield from self.first(rows[rows < self.n])
        yield from self.second(rows[rows >= self.n] - self.n)


def _divided(
    found: Found,
    sides: Mapping[str, Rows],
    memberships: Mapping[str, Membership],
    space: LabelSpace,
    settings: DataSettings,
) -> dict[str, ImageSource]:
    """The sources train and test; 'all' is divided by hash."""
    size = settings.image_size
    shape = None if isinstance(size, str) else (size, size, 3)

    def source(side: str, split: int, rows: I64 | None = None) -> ImageSource:
        ids, membership = sides[side].ids, memberships[side]
        if rows is not None:
            ids, membership = ids.take(pa.array(rows)), membership[rows]
        else:
            rows = np.arange(len(ids))
        codes: U8 = np.full(len(rows), split, np.uint8)
        return ImageSource(found.name, space, ids, membership, codes, Selected(sides[side].images, rows), shape)

    if ALL not in sides:
        return {"train": source("train", TRAIN), "test": source("test", TEST)}
    test = held_out(sides[ALL].ids, memberships[ALL], settings.test_fraction, "test", found.multi_label)
    return {
        "train": source(ALL, TRAIN, np.flatnonzero(~test)),
        "test": source(ALL, TEST, np.flatnonzero(test)),
    }
