"""Parquet: `image` (encoded bytes, or Hugging Face's {'bytes': ...}), `id`, `split`, and `label` or `labels`.

A folder holds train*.parquet, test*.parquet and, if there are any, validation*.parquet, or folders of these names; a
single file goes with a column `split`, with `data.test_path` or with `data.test_fraction`. `label` is a class index
(named by `class_name`, if that is there, or by the file's metadata) or a text; `labels` is a list of class indices
(named by `tags`, where each row has as many) or of texts, or a 0/1 vector.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.parquet import batches, texts_of
from csrms_dist.datasets.decoding import Stored
from csrms_dist.datasets.image_column import IMAGE, open_images, stored_images
from csrms_dist.datasets.image_source import Reader, uris_of
from csrms_dist.datasets.label_column import COLUMNS, LabelColumn
from csrms_dist.datasets.layouts.layout_format import ALL, SIDES, Found, LayoutFormat, Rows
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.datasets.splits import split_of
from csrms_dist.errors import DataError
from csrms_dist.labels import LabelRows

ROWS_READ = 65536
IMAGES_READ = 256
BYTES_READ = 1 << 25
SPLIT = "split"
_READABLE = "a Parquet file of image and label or labels"


def files_of(settings: DataSettings) -> tuple[dict[str, list[Path]], list[Path]]:
    """The Parquet files of each side, and those of a folder that belong to none."""
    path = Path(settings.path)
    sides: dict[str, list[Path]] = {}
    others: list[Path] = []
    if path.is_dir():
        for file in sorted([*path.glob("*.parquet"), *path.glob("*/*.parquet")]):
            word = re.match(r"[A-Za-z]*", file.name)[0] if file.parent == path else file.parent.name  # type: ignore[index]
            side = split_of(word)
            (others if side is None else sides.setdefault(side, [])).append(file)
        sides = {side: sides[side] for side in SIDES if side in sides}
        if "train" not in sides:
            raise DataError(
                f"{path}", got="no train*.parquet in it", expected="train*.parquet and test*.parquet",
                remedy="rename the files or give one file as data.path",
            )  # fmt: skip
    elif path.is_file():
        sides = {"train": [path]}
    else:
        raise DataError("data.path", got=f"{path}, which is not there", expected="a Parquet file or a folder of them")
    if settings.test_path:
        test = Path(settings.test_path)
        sides["test"] = sorted(test.glob("*.parquet")) if test.is_dir() else [test]
        if not sides["test"] or not sides["test"][0].is_file():
            raise DataError(
                "data.test_path", got=f"{test}, where none is", expected="a Parquet file or a folder of them"
            )
    if "test" not in sides:
        if "val" in sides:
            raise DataError(
                f"{path}", got="val*.parquet without test*.parquet", expected="test images beside them",
                remedy="name the file to test on as data.test_path",
            )  # fmt: skip
        return {ALL: sides["train"]}, others
    return sides, others


def find(settings: DataSettings) -> Found:
    """Read ids and labels of every file; images are read when they are asked for."""
    sides, others = files_of(settings)
    opened = {side: [open_images(file, _READABLE) for file in files] for side, files in sides.items()}
    column = None if settings.label_column == "none" else LabelColumn(_label_column(opened, settings.label_column))
    rows, words = {}, {}
    for side, files in opened.items():
        rows[side], words[side] = _rows(side, sides[side], files, column)
    notes = []
    if others:
        notes.append(f"{settings.path}: {len(others):,} files belong to no split, the first {others[0].name}; left out")
    path = Path(settings.path).resolve()
    name = path.stem if path.is_file() else path.name
    if column is not None:
        rows = {side: _final(found, column, f"{sides[side][0]}") for side, found in rows.items()}
        notes += [f"{name}: {note}" for note in column.notes]
    if ALL in rows and words[ALL] is not None:
        rows = _divided(rows[ALL], words[ALL], sides[ALL][0])
    if column is None:
        return Found(name, rows, notes=tuple(notes))
    return Found(name, rows, column.multi_label, column.names, column.n_classes, tuple(notes))


def _final(rows: Rows, column: LabelColumn, what: str) -> Rows:
    missing = np.zeros(len(rows.ids), np.bool_) if rows.unlabelled is None else rows.unlabelled
    labels = column.final(LabelRows(rows.offsets, rows.labels, missing), what)
    return replace(rows, offsets=labels.offsets, labels=labels.indices, unlabelled=labels.unlabelled)


def _divided(rows: Rows, words: pa.Array, path: Path) -> dict[str, Rows]:
    """The rows of one file by what its column `split` says. Raises DataError for a word that is none."""
    encoded = words.dictionary_encode()
    splits = [split_of(word) for word in encoded.dictionary.to_pylist()]
    codes = encoded.indices.fill_null(len(splits)).to_numpy(zero_copy_only=False)
    sides = np.array([*(SIDES.get(side or "", -1) for side in splits), -1])[codes]
    if (sides < 0).any():
        row = int(np.argmax(sides < 0))
        raise DataError(
            f"{path}: split of row {row:,}", got=f"'{words[row].as_py()}'", expected="train, val or test",
            remedy="correct it",
        )  # fmt: skip
    return {side: _some(rows, np.flatnonzero(sides == code)) for side, code in SIDES.items() if (sides == code).any()}


def _some(rows: Rows, chosen: I64) -> Rows:
    counts = np.diff(rows.offsets)
    kept = np.zeros(len(counts), np.bool_)
    kept[chosen] = True
    offsets = np.concatenate([[0], np.cumsum(counts[kept])])
    missing = None if rows.unlabelled is None else rows.unlabelled[kept]
    reader = _Chosen(rows.images, chosen)
    return Rows(rows.ids.filter(pa.array(kept)), offsets, rows.labels[np.repeat(kept, counts)], reader, missing)


@dataclass(frozen=True)
class _Chosen:
    """Reads some rows of a reader, numbered anew."""

    read: Reader
    rows: I64

    def __call__(self, rows: I64) -> Iterator[Stored]:
        return self.read(self.rows[rows])

    def uris(self, rows: I64) -> pa.StringArray | None:
        return uris_of(self.read, self.rows[rows])


def _label_column(opened: Mapping[str, Sequence[pq.ParquetFile]], wanted: str) -> str:
    """The one column that holds the labels in every file."""
    candidates = COLUMNS if wanted == "auto" else (wanted,)
    files = [file for files in opened.values() for file in files]
    for column in candidates:
        if all(column in file.schema_arrow.names for file in files):
            return column
    expected = " or ".join(f"'{column}'" for column in reversed(candidates))
    names = next(
        file.schema_arrow.names for file in files if not all(column in file.schema_arrow.names for column in candidates)
    )
    raise DataError(
        "the Parquet files of data.path", got=f"the columns {', '.join(names)}",
        expected=f"a column {expected} in every file", remedy="rename it or set data.label_column",
    )  # fmt: skip


def _rows(
    side: str, paths: Sequence[Path], files: Sequence[pq.ParquetFile], column: LabelColumn | None
) -> tuple[Rows, pa.Array | None]:
    """The rows of one side, with labels that are not final, and what `split` says of each."""
    ids, labels, words = [], [], []
    start = 0  # rows are numbered over the whole side
    for path, file in zip(paths, files, strict=True):
        names = file.schema_arrow.names
        wanted = [name for name in ("id", SPLIT) if name in names and (name != SPLIT or side == ALL)]
        if column is not None:
            column.learn(file.schema_arrow.metadata)
            wanted += column.columns(names)
        n = 0
        for first, batch in batches(path, file, ROWS_READ, wanted) if wanted else ():
            if "id" in names:
                ids.append(texts_of(path, "id", batch["id"], first).cast(pa.string()))
            if SPLIT in wanted:
                words.append(texts_of(path, SPLIT, batch[SPLIT], first))
            if column is not None:
                labels.append(column.read(batch, f"{path}", partial(_row_name, first)))
            n = first + len(batch)
        n = n if wanted else file.metadata.num_rows
        if "id" not in names:
            word = "row" if side == ALL else side
            ids += [pa.array([f"{word}/{k}" for k in range(m, min(m + ROWS_READ, start + n))], pa.string())
                    for m in range(start, start + n, ROWS_READ)]  # fmt: skip
        start += n
    joined = pa.concat_arrays(ids) if ids else pa.array([], pa.string())
    every = pa.concat_arrays(words) if words and sum(map(len, words)) == len(joined) else None
    none = LabelRows(np.zeros(len(joined) + 1, np.int64), np.zeros(0, np.int64), np.ones(len(joined), np.bool_))
    found = none if column is None else LabelRows.joined(labels)
    return Rows(joined, found.offsets, found.indices, _EncodedImages(tuple(paths)), found.unlabelled), every


def _row_name(first: int, row: int) -> str:
    return f"row {first + row:,}"


@dataclass(frozen=True)
class _EncodedImages:
    """Reads the images of ascending rows, counted over all files."""

    paths: tuple[Path, ...]

    def __call__(self, rows: I64) -> Iterator[Stored]:
        first = 0
        for path in self.paths:
            file = open_images(path, _READABLE)
            groups = file.metadata.num_row_groups
            for group in range(groups):
                size = file.metadata.row_group(group).num_rows
                low, high = np.searchsorted(rows, [first, first + size])
                if low < high:
                    yield from _images(path, file, group, rows[low:high] - first)
                first += size

    def uris(self, rows: I64) -> pa.StringArray:
        """'/path/file.parquet#row', rows of a file counted from 0."""
        parts, first = [pa.array([], pa.string())], 0
        for path in self.paths:
            size = pq.read_metadata(path).num_rows
            some = rows[(rows >= first) & (rows < first + size)] - first
            parts.append(
                pc.binary_join_element_wise(pa.scalar(f"{path.absolute()}#"), pa.array(some).cast(pa.string()), "")
            )
            first += size
        return pa.concat_arrays(parts)


def _images(path: Path, file: pq.ParquetFile, group: int, rows: I64) -> Iterator[Stored]:
    facts = file.metadata.row_group(group)
    size = max(1, min(IMAGES_READ, BYTES_READ * facts.num_rows // max(facts.total_byte_size, 1)))
    for first, batch in batches(path, file, size, [IMAGE], row_groups=[group]):
        low, high = np.searchsorted(rows, [first, first + len(batch)])
        if low < high:
            yield from stored_images(batch[IMAGE], rows[low:high] - first)


LAYOUT = LayoutFormat(find, lambda settings: chain(*files_of(settings)[0].values()))
