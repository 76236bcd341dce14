"""VireoFood-172 as its authors ship it: ready_chinese_food/<number of the class>/<file>, and lists of each split.

`data.path` is the folder of `ready_chinese_food` and `SplitAndIngreLabel`. The lists TR.txt, VAL.txt and TE.txt are the
splits train, val and test; without VAL.txt a share is held out as in any layout. A line is `/<class>/<file>`; copies of
the data set write it without the first slash, with backslashes, or from `ready_chinese_food` on. Line k of FoodList.txt
names the class k; without it the classes go by their numbers. Ingredients are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from csrms_dist.datasets.layouts.layout_format import Found, ImageFiles, LayoutFormat, Rows
from csrms_dist.datasets.layouts.text_lists import lines_of
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.errors import DataError

NAME = "vireofood172"
IMAGES, LISTS = "ready_chinese_food", "SplitAndIngreLabel"
SPLITS = {"train": "TR.txt", "val": "VAL.txt", "test": "TE.txt"}
NAMES = "FoodList.txt"
LINE = "/<number of the class>/<file> in each line"
UNPACK = f"set data.path to the folder of {IMAGES} and {LISTS}"


def find(settings: DataSettings) -> Found:
    """Read the lists; the images are read when they are asked for."""
    root = Path(settings.path)
    if not (root / IMAGES).is_dir():
        raise DataError(f"{root}", got=f"no {IMAGES}/ in it", expected=f"the images in {IMAGES}/", remedy=UNPACK)
    listed = {side: _entries(path) for side, path in _lists(root).items()}
    names_of = root / LISTS / NAMES
    names = lines_of(names_of, "the name of a class in each line", UNPACK) if names_of.is_file() else []
    n_classes = len(names) or max((number for entries in listed.values() for number, _ in entries), default=0)
    sides = {side: _rows(root, SPLITS[side], entries, n_classes) for side, entries in listed.items()}
    return Found(NAME, sides, names=dict(enumerate(names or map(str, range(1, n_classes + 1)))), n_classes=n_classes)


def files_of(settings: DataSettings) -> Iterator[Path]:
    """The lists, and every image that they name."""
    root = Path(settings.path)
    lists = _lists(root)
    yield from (*lists.values(), root / LISTS / NAMES)
    for path in lists.values():
        for _, below in _entries(path):
            yield root / IMAGES / below


def _lists(root: Path) -> dict[str, Path]:
    """The list of each side; that of val may be missing."""
    lists = {side: root / LISTS / name for side, name in SPLITS.items()}
    return {side: path for side, path in lists.items() if side != "val" or path.is_file()}


def _entries(path: Path) -> list[tuple[int, str]]:
    """(number of the class, path below the folder of images) of every line."""
    return [_entry(line, path) for line in lines_of(path, LINE, UNPACK)]


def _entry(line: str, path: Path) -> tuple[int, str]:
    parts = [part for part in line.replace("\\", "/").split("/") if part not in ("", ".")]
    if parts[:1] == [IMAGES]:
        parts = parts[1:]
    if len(parts) != 2 or not (parts[0].isascii() and parts[0].isdecimal() and int(parts[0][:10]) > 0):
        raise DataError(f"{path}", got=f"the line '{line}'", expected=LINE, remedy="correct it")
    return int(parts[0][:10]), "/".join(parts)


def _rows(root: Path, name: str, entries: list[tuple[int, str]], n_classes: int) -> Rows:
    for number, below in entries:
        if number > n_classes:
            raise DataError(
                f"{root / LISTS / name}: {below}", got=f"the class {number}",
                expected=f"one of the {n_classes} classes of {NAMES}", remedy="correct either",
            )  # fmt: skip
    ids = pa.array([below for _, below in entries], pa.string())
    labels = np.array([number - 1 for number, _ in entries], np.int64)
    return Rows(ids, np.arange(len(entries) + 1), labels, ImageFiles(ids, root / IMAGES))


LAYOUT = LayoutFormat(find, files_of)
