"""Folders of images by class: root/train/<class>/..., root/test/<class>/... and perhaps root/val, or root/<class>/...

Without train/ below the root, its folders are the classes, and `data.test_path` or `data.test_fraction` gives the test
set. Files below a class are found at any depth, by their suffix; hidden ones are passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from csrms_dist.datasets.decoding import SUFFIXES
from csrms_dist.datasets.layouts.layout_format import ALL, Found, ImageFiles, LayoutFormat, Rows
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.errors import DataError


def roots_of(settings: DataSettings) -> dict[str, Path]:
    """The folder of each side, whose folders are the classes."""
    path = Path(settings.path)
    if not path.is_dir():
        raise DataError("data.path", got=f"{path}, which is no folder", expected="a folder of images by class")
    roots = {side: path / side for side in ("train", "val", "test") if (path / side).is_dir()}
    if "train" not in roots:
        roots = {"train": path}
    if settings.test_path:
        roots["test"] = Path(settings.test_path)
        if not roots["test"].is_dir():
            got = f"{settings.test_path}, which is no folder"
            raise DataError("data.test_path", got=got, expected="a folder of images by class")
    if "test" in roots:
        return roots
    if "val" in roots:
        raise DataError(f"{path}", got="val/ without test/", expected="test/ beside train/ and val/")
    return {ALL: roots["train"]}


def find(settings: DataSettings) -> Found:
    """Walk each side once; files are read when they are asked for."""
    roots = roots_of(settings)
    classes = sorted({entry.name for root in roots.values() for entry in _visible(root) if entry.is_dir()})
    if not classes:
        raise DataError(
            f"{roots.get('train', settings.path)}", got="no folder in it", expected="a folder for each class"
        )
    others: list[str] = []
    sides = {side: _rows(side, root, classes, others) for side, root in roots.items()}
    notes = (
        (f"{settings.path}: {len(others):,} files are no images by their suffix, the first {others[0]}; left out",)
        if others
        else ()
    )
    return Found(Path(settings.path).resolve().name, sides, False, dict(enumerate(classes)), len(classes), notes)


def _visible(folder: Path | str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _walk(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """Every file below a folder, in the order of the names."""
    for entry in _visible(folder):
        if entry.is_dir():
            yield from _walk(entry.path)
        else:
            yield entry


def files_of(settings: DataSettings) -> Iterator[os.DirEntry[str]]:
    """Every file that the layout may read, in one walk."""
    for root in roots_of(settings).values():
        yield from _walk(root)


def _rows(side: str, root: Path, classes: list[str], others: list[str]) -> Rows:
    prefix = "" if side == ALL else f"{side}/"
    parts: list[pa.StringArray] = []
    counts: list[int] = []
    start = len(str(root)) + 1
    for name in classes:
        ids: list[str] = []
        for entry in _walk(root / name) if (root / name).is_dir() else ():
            if os.path.splitext(entry.name)[1].lower() in SUFFIXES:  # noqa: PTH122 (a million times)
                ids.append(prefix + entry.path[start:])
            else:
                others.append(entry.path[start:])
        parts.append(_texts(ids))
        counts.append(len(ids))
    labels = np.repeat(np.arange(len(classes)), counts)
    ids_ = pa.concat_arrays(parts)
    return Rows(ids_, np.arange(len(labels) + 1), labels, ImageFiles(ids_, root, len(prefix)))


def _texts(ids: list[str]) -> pa.StringArray:
    try:
        return pa.array(ids, pa.string())
    except UnicodeEncodeError as error:
        raise DataError(
            f"the file {error.object!a}", got="a name that is not UTF-8", expected="text", remedy="rename it"
        ) from error


LAYOUT = LayoutFormat(find, files_of)
