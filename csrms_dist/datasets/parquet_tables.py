"""Tables of Parquet whose rows are images, whatever says where an image is: their sides, ids, splits and labels.

A folder holds train*.parquet, test*.parquet and, if there are any, validation*.parquet, or folders of these names; a
single file goes with a column `split`, with `data.test_path` or with `data.test_fraction`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.arrow import joined_texts
from csrms_dist.basics.parquet import batches, texts_of
from csrms_dist.datasets.addresses import RemoteFile, is_uri
from csrms_dist.datasets.image_source import Chosen, Reader
from csrms_dist.datasets.label_column import COLUMNS, LabelColumn
from csrms_dist.datasets.layouts.layout_format import ALL, SIDES, Found, Rows
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.datasets.splits import split_of
from csrms_dist.errors import DataError
from csrms_dist.labels import LabelRows

ROWS_READ = 65536
SPLIT = "split"

Place: TypeAlias = Path | RemoteFile


@dataclass(frozen=True)
class Holding:
    """How tables hold their images.

    open: opens a table, or refuses it. reader: tables of a side, opened, and the blocks of `column` -> what reads their
    images, and their ids where there is no column `id` (None: rows are numbered).
    column: is read of every row. labels: whether a table without labels is refused.
    """

    open: Callable[[Place], pq.ParquetFile]
    reader: Callable[
        [Sequence[Place], Sequence[pq.ParquetFile], Sequence[Sequence[pa.Array]]], tuple[Reader, pa.Array | None]
    ]
    column: str = ""
    labels: bool = True


def files_of(settings: DataSettings) -> tuple[dict[str, list[Place]], list[Path]]:
    """The Parquet files of each side, and those of a folder that belong to none."""
    if is_uri(settings.path) and not settings.test_path:
        return {ALL: [RemoteFile(settings.path)]}, []
    path = Path(settings.path)
    sides: dict[str, list[Place]] = {}
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
        files = sorted(test.glob("*.parquet")) if test.is_dir() else [test]
        sides["test"] = [*files]
        if not files or not files[0].is_file():
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


def find(settings: DataSettings, holding: Holding) -> Found:
    """Read ids and labels of every file; images are read when they are asked for."""
    sides, others = files_of(settings)
    opened = {side: [holding.open(file) for file in files] for side, files in sides.items()}
    wanted = settings.label_column
    named = wanted != "none" and _label_column(opened, wanted, needed=holding.labels or wanted != "auto")
    column = LabelColumn(named) if named else None
    rows, words = {}, {}
    for side, files in opened.items():
        rows[side], words[side] = _rows(side, sides[side], files, column, holding)
    notes = []
    if others:
        notes.append(f"{settings.path}: {len(others):,} files belong to no split, the first {others[0].name}; left out")
    name = _name(settings.path)
    if column is not None:
        rows = {side: _final(found, column, f"{sides[side][0]}") for side, found in rows.items()}
        notes += [f"{name}: {note}" for note in column.notes]
    if ALL in rows and words[ALL] is not None:
        rows = _divided(rows[ALL], words[ALL], sides[ALL][0])
    if column is None:
        return Found(name, rows, notes=tuple(notes))
    return Found(name, rows, column.multi_label, column.names, column.n_classes, tuple(notes))


def _name(text: str) -> str:
    if is_uri(text):
        return PurePosixPath(text.partition("?")[0]).stem
    path = Path(text).resolve()
    return path.stem if path.is_file() else path.name


def _final(rows: Rows, column: LabelColumn, what: str) -> Rows:
    missing = np.zeros(len(rows.ids), np.bool_) if rows.unlabelled is None else rows.unlabelled
    labels = column.final(LabelRows(rows.offsets, rows.labels, missing), what)
    return replace(rows, offsets=labels.offsets, labels=labels.indices, unlabelled=labels.unlabelled)


def _divided(rows: Rows, words: pa.Array, path: Place) -> dict[str, Rows]:
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
    reader = Chosen(rows.images, chosen)
    return Rows(rows.ids.filter(pa.array(kept)), offsets, rows.labels[np.repeat(kept, counts)], reader, missing)


def _label_column(opened: Mapping[str, Sequence[pq.ParquetFile]], wanted: str, *, needed: bool) -> str:
    """The one column that holds the labels in every file; '' where none does, unless one is needed."""
    candidates = COLUMNS if wanted == "auto" else (wanted,)
    files = [file for files in opened.values() for file in files]
    for column in candidates:
        if all(column in file.schema_arrow.names for file in files):
            return column
    if not needed and not any(column in file.schema_arrow.names for file in files for column in candidates):
        return ""
    expected = " or ".join(f"'{column}'" for column in reversed(candidates))
    names = next(
        file.schema_arrow.names for file in files if not all(column in file.schema_arrow.names for column in candidates)
    )
    raise DataError(
        "the Parquet files of data.path", got=f"the columns {', '.join(names)}",
        expected=f"a column {expected} in every file", remedy="rename it or set data.label_column",
    )  # fmt: skip


def _rows(
    side: str,
    paths: Sequence[Place],
    files: Sequence[pq.ParquetFile],
    column: LabelColumn | None,
    holding: Holding,
) -> tuple[Rows, pa.Array | None]:
    """The rows of one side, with labels that are not final, and what `split` says of each."""
    ids, labels, words = [], [], []
    held: list[list[pa.Array]] = []
    start = 0  # rows are numbered over the whole side
    with_ids = all("id" in file.schema_arrow.names for file in files)
    for path, file in zip(paths, files, strict=True):
        names = file.schema_arrow.names
        wanted = [name for name in ("id", SPLIT) if name in names and (name != SPLIT or side == ALL)]
        wanted += [holding.column] if holding.column else []
        held.append([])
        if column is not None:
            column.learn(file.schema_arrow.metadata)
            wanted += column.columns(names)
        n = 0
        for first, batch in batches(path, file, ROWS_READ, wanted) if wanted else ():
            if "id" in names:
                ids.append(texts_of(path, "id", batch["id"], first).cast(pa.string()))
            if SPLIT in wanted:
                words.append(texts_of(path, SPLIT, batch[SPLIT], first))
            if holding.column:
                held[-1].append(texts_of(path, holding.column, batch[holding.column], first).cast(pa.string()))
            if column is not None:
                labels.append(column.read(batch, f"{path}", partial(_row_name, first)))
            n = first + len(batch)
        n = n if wanted else file.metadata.num_rows
        if "id" not in names and not holding.column:
            word = "row" if side == ALL else side
            ids += [pa.array([f"{word}/{k}" for k in range(m, min(m + ROWS_READ, start + n))], pa.string())
                    for m in range(start, start + n, ROWS_READ)]  # fmt: skip
        start += n
    reader, own = holding.reader(paths, files, held)
    joined = joined_texts(ids) if own is None or with_ids else own
    every = pa.concat_arrays(words) if words and sum(map(len, words)) == len(joined) else None
    none = LabelRows(np.zeros(len(joined) + 1, np.int64), np.zeros(0, np.int64), np.ones(len(joined), np.bool_))
    found = none if column is None else LabelRows.joined(labels)
    return Rows(joined, found.offsets, found.indices, reader, found.unlabelled), every


def _row_name(first: int, row: int) -> str:
    return f"row {first + row:,}"
