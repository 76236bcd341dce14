"""A CSV of paths and labels: columns `path` and `label`, or `labels` separated by ';', and perhaps `id` and `split`.

Paths are relative to the CSV. Labels that are all whole numbers are class indices, any others are names. An empty
`label`, and the word null in either column, stand for no label; empty `labels` for none of the classes. `split` says
train, val or test in each row; without it, `data.test_path` (another CSV) or `data.test_fraction` gives the test set.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from csrms_dist.basics.arrays import I64
from csrms_dist.datasets.layouts.class_names import ClassNames
from csrms_dist.datasets.layouts.layout_format import ALL, SIDES, Found, ImageFiles, LayoutFormat, Rows
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.datasets.splits import split_of
from csrms_dist.errors import DataError

WHOLE = re.compile(r"([+-]?[0-9]{1,18})(\.0*)?")
"""A class index: pandas writes 3.0 where some labels are missing."""
NO_LABEL = "null"


@dataclass
class _Side:
    """The rows of one side while the file is read."""

    ids: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    unlabelled: list[bool] = field(default_factory=list)


def files_of(settings: DataSettings) -> Iterator[Path]:
    """The CSV files and every image that they name."""
    for path in filter(None, (settings.path, settings.test_path)):
        yield Path(path)
        for _, row in _read(Path(path)):
            yield Path(path).parent / row.get("path", "")


def find(settings: DataSettings) -> Found:
    """Read the table or tables; the images are read when they are asked for."""
    train = Path(settings.path)
    tables = [(train, "train" if settings.test_path else "")]
    if settings.test_path:
        tables.append((Path(settings.test_path), "test"))
    sides: dict[str, _Side] = {}
    columns = [_columns(path) for path, _ in tables]
    column = _label_column([path for path, _ in tables], columns, settings.label_column)
    apart = len({path.resolve().parent for path, _ in tables}) > 1
    for (path, given), names in zip(tables, columns, strict=True):
        for number, row in _read(path):
            side = _side(row, names, given, path, number)
            rows = sides.setdefault(side, _Side())
            name = row["path"]
            rows.ids.append(row["id"] if "id" in names else f"{side}/{name}" if apart else name)
            rows.paths.append(str(path.parent / name))
            cell = row[column] if column else NO_LABEL
            missing = cell.strip().lower() == NO_LABEL
            words = [] if missing else cell.split(";") if column == "labels" else [cell]
            found = [word.strip() for word in words if word.strip()]
            rows.labels += found
            rows.counts.append(len(found))
            rows.unlabelled.append(missing)
    if not sides:
        raise DataError(f"{train}", got="no rows", expected="at least one row")
    if ALL not in sides and "train" not in sides:
        raise DataError(f"{train}: column split", got="no row of train", expected="train, val or test in each row")
    if ALL not in sides and "test" not in sides:
        raise DataError(f"{train}: column split", got="no row of test", expected="train, val or test in each row")
    return _found(train.resolve().stem, sides, column == "labels")


def _found(name: str, sides: dict[str, _Side], multi_label: bool) -> Found:
    rows: dict[str, Rows] = {}
    whole = all(WHOLE.fullmatch(label) for side in sides.values() for label in side.labels)
    names = ClassNames()
    codes: dict[str, I64] = {}
    for word in (side for side in (*SIDES, ALL) if side in sides):
        codes[word] = _indices(sides[word].labels) if whole else names.codes(pa.array(sides[word].labels, pa.string()))
    for word, found in codes.items():
        side = sides[word]
        offsets = np.concatenate([[0], np.cumsum(side.counts, dtype=np.int64)]).astype(np.int64)
        images = ImageFiles(pa.array(side.paths, pa.string()))
        missing = np.array(side.unlabelled, np.bool_)
        ids = pa.array(side.ids, pa.string())
        rows[word] = Rows(ids, offsets, found if whole else names.final(found), images, missing)
    return Found(name, rows, multi_label, {} if whole else names.names)


def _indices(labels: list[str]) -> I64:
    """Whole numbers as texts, each once converted."""
    index = {label: int(label.partition(".")[0]) for label in set(labels)}
    return np.array([index[label] for label in labels], np.int64)


def _read(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, cells by column) of every row. Raises DataError for what is no CSV."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(
                        f"{path}, line {reader.line_num}", got=f"{sum(map(_cells, row.values()))} cells",
                        expected=f"{len(reader.fieldnames or ())} as in the header", remedy="put quotes around commas",
                    )  # fmt: skip
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError | UnicodeDecodeError | csv.Error) -> DataError:
    if isinstance(error, UnicodeDecodeError):
        got = "bytes that are no UTF-8"
    else:
        got = f"'{error.strerror if isinstance(error, OSError) else error}'"
    return DataError(f"{path}", got=got, expected="a CSV file in UTF-8 with a header", remedy="save it as such")


def _cells(value: str | list[str] | None) -> int:
    return len(value) if isinstance(value, list) else int(value is not None)


def _columns(path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error
    if "path" not in header:
        raise DataError(
            f"{path}",
            got=f"the header {', '.join(header) or 'nothing'}",
            expected="a column 'path'",
            remedy="rename it",
        )
    return header


def _label_column(paths: Sequence[Path], columns: Sequence[list[str]], wanted: str) -> str:
    """The column of the labels; '' where none is wanted."""
    if wanted == "none":
        return ""
    candidates = ("labels", "label") if wanted == "auto" else (wanted,)
    for column in candidates:
        if all(column in names for names in columns):
            return column
    for path, names in zip(paths, columns, strict=True):
        if not all(column in names for column in candidates):
            raise DataError(
                f"{path}", got=f"the header {', '.join(names)}",
                expected=f"a column {' or '.join(repr(column) for column in reversed(candidates))}",
                remedy="rename it or set data.label_column",
            )  # fmt: skip
    raise DataError(f"{paths[0]}", got=f"the header {', '.join(chain(*columns))}", expected="one kind of labels")


def _side(row: dict[str, str], names: list[str], given: str, path: Path, line: int) -> str:
    if given or "split" not in names:
        return given or ALL
    side = split_of(row["split"].strip())
    if side is None:
        raise DataError(
            f"{path}, line {line}: split", got=f"'{row['split']}'", expected="train, val or test", remedy="correct it"
        )
    return side


LAYOUT = LayoutFormat(find, files_of)
