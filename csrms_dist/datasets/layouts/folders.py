"""Folders of images by class: root/train/<class>/..., root/test/<class>/... and perhaps root/val, or root/<class>/...

The folders of the splits go by any usual name (`Train`, `valid`, `dev`). Without one for training, the root's other
folders are the classes, and `data.test_path` or `data.test_fraction` gives the test set. Files below a class are found
at any depth, by their suffix; hidden ones are passed over. Images beside the classes, or in a folder without any, have
no label.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from csrms_dist.basics.words import counted
from csrms_dist.datasets.decoding import SUFFIXES
from csrms_dist.datasets.folder_walk import is_folder, shown, visible, walk
from csrms_dist.datasets.layouts.layout_format import ALL, Found, ImageFiles, LayoutFormat, Rows
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.datasets.splits import folders_of_splits
from csrms_dist.errors import DataError

_BLOCK = 1 << 14


@dataclass(frozen=True)
class Side:
    """One side: the folder whose folders are the classes, what its ids begin with, folders that are no classes."""

    root: Path
    prefix: str = ""
    leave_out: frozenset[str] = frozenset()

    def walk(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        return walk(self.root, self.leave_out)

    def classes(self) -> list[str]:
        return [entry.name for entry in visible(self.root) if is_folder(entry) and entry.name not in self.leave_out]


def sides_of(settings: DataSettings) -> tuple[dict[str, Side], list[str]]:
    """The sides, and notes about folders that could be meant otherwise. Raises DataError for what is no such folder."""
    path = Path(settings.path)
    _refuse_no_folder("data.path", path)
    apart = Path(settings.test_path) if settings.test_path else None
    if apart is not None:
        _refuse_no_folder("data.test_path", apart)
    folders = [entry.name for entry in visible(path) if is_folder(entry)]
    named, notes = folders_of_splits(
        f"{path}", folders, lambda name: any(map(is_folder, visible(path / name))), has_files=_has_files(path),
        test_apart=apart is not None,
    )  # fmt: skip
    sides = {side: Side(path / name, f"{name}/") for side, name in named.items()}
    if "train" not in named:
        sides = {"train": Side(path, "train/" if apart else "", frozenset(named.values()))} | sides
    if apart is not None:
        sides["test"] = Side(apart, "test/")
    return (sides if "test" in sides else {ALL: sides["train"]}), notes


def _refuse_no_folder(key: str, path: Path) -> None:
    if not path.is_dir():
        got = f"{shown(os.fspath(path))}, which is no folder"
        raise DataError(key, got=got, expected="a folder of images by class")


def _has_files(path: Path) -> bool:
    return any(not is_folder(entry) for entry in visible(path))


def find(settings: DataSettings) -> Found:
    """Walk each side once; files are read when they are asked for."""
    sides, notes = sides_of(settings)
    classes = sorted({name for side in sides.values() for name in side.classes()})
    others: list[str] = []
    rows = {side: _rows(place, classes, others) for side, place in sides.items()}
    if not any(len(found.ids) for found in rows.values()) and not classes:
        raise DataError(
            f"{settings.path}",
            got="no image in it",
            expected=f"images ({', '.join(sorted(SUFFIXES))}) or folders of them",
        )
    if others:
        notes.append(
            f"{settings.path}: {counted(len(others), 'file')} without the suffix of an image left out, "
            f"the first {others[0]}"
        )
    names = {k: shown(name) for k, name in enumerate(classes)}
    return Found(shown(Path(settings.path).resolve().name) or "images", rows, False, names, len(classes), tuple(notes))


def files_of(settings: DataSettings) -> Iterator[os.DirEntry[str]]:
    """Every file that the layout may read, in one walk."""
    for side in sides_of(settings)[0].values():
        yield from (entry for _, entry in side.walk())


def _rows(side: Side, classes: Sequence[str], others: list[str]) -> Rows:
    """Class after class, as the walk goes; what lies beside them comes last, without a label."""
    number = {name: k for k, name in enumerate(classes)}
    ids, counts = _Ids(side.prefix), np.zeros(len(classes), np.int64)
    beside: list[str] = []
    for below, entry in side.walk():
        name, slash, _ = below.partition("/")
        if os.path.splitext(entry.name)[1].lower() not in SUFFIXES:  # noqa: PTH122 (a million times)
            others.append(shown(below))
        elif slash:
            ids.add(below)
            counts[number[name]] += 1
        else:
            beside.append(below)
    for below in beside:
        ids.add(below)
    labels = np.repeat(np.arange(len(classes)), counts)
    names = ids.joined()
    offsets = np.minimum(np.arange(len(names) + 1), len(labels))
    return Rows(names, offsets, labels, ImageFiles(names, side.root, len(shown(side.prefix)), ids.odd))


class _Ids:
    """Ids as Arrow texts, a block at a time: a list of them takes ten times the memory."""

    def __init__(self, prefix: str) -> None:
        self.odd: dict[int, str] = {}
        self._prefix, self._parts, self._block, self._n = shown(prefix), [pa.array([], pa.string())], list[str](), 0

    def add(self, below: str) -> None:
        text = shown(below)
        if text != below:
            self.odd[self._n] = below
        self._n += 1
        self._block.append(self._prefix + text)
        if len(self._block) == _BLOCK:
            self._flush()

    def _flush(self) -> None:
        self._parts.append(pa.array(self._block, pa.string()))
        self._block.clear()

    def joined(self) -> pa.StringArray:
        self._flush()
        return pa.concat_arrays(self._parts)


LAYOUT = LayoutFormat(find, files_of)
