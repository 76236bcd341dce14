"""The one place that picks a layout: `data.dataset` -> an opened data set, and a fingerprint of its files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from csrms_dist.datasets.image_source import Layout
from csrms_dist.datasets.layouts import cifar, csv_table, digit_pairs, digits, folders, parquet
from csrms_dist.datasets.rules import Found, assemble
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.errors import ConfigError


@dataclass(frozen=True)
class _Kind:
    """find: reads ids and labels. files: what it reads, for the fingerprint; None: the data ship with a package."""

    find: Callable[[DataSettings], Found]
    files: Callable[[DataSettings], Iterable[Path | os.DirEntry[str]]] | None = None


LAYOUTS: Mapping[str, _Kind] = {
    "digits": _Kind(digits.find),
    "digit_pairs": _Kind(digit_pairs.find),
    "cifar": _Kind(cifar.find, cifar.files_of),
    "folders": _Kind(folders.find, folders.files_of),
    "parquet": _Kind(parquet.find, lambda settings: chain(*parquet.files_of(settings).values())),
    "csv": _Kind(csv_table.find, csv_table.files_of),
}


def open_layout(settings: DataSettings) -> Layout:
    """Open the data set of `data.dataset`: ids, labels and splits are read, no image is decoded.

    Raises ConfigError for a missing or needless `data.path`, DataError for what docs/data.md refuses.
    """
    return assemble(_kind(settings).find(settings), settings)


def data_fingerprint(settings: DataSettings) -> str:
    """A digest of names, sizes and times of change of the files that the layout reads; empty for built-in data.

    Not of their bytes: every command asks for it, and a data set may take hours to read. A copy with other times makes
    the tables anew, which costs time and nothing else; a file that is changed keeping size and time goes unnoticed.
    One walk over folders; a CSV is read for its paths.
    """
    files = _kind(settings).files
    if files is None:
        return ""
    digest = hashlib.sha256()
    for file in files(settings):
        try:
            status = file.stat()
            facts = (status.st_size, status.st_mtime_ns)
        except OSError:  # an image that a table names and that is not there: set aside, or back one day
            facts = (-1, 0)
        digest.update(repr((os.fspath(file), *facts)).encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _kind(settings: DataSettings) -> _Kind:
    kind = LAYOUTS[settings.dataset]
    if kind.files is None and (settings.path or settings.test_path):
        named = [name for name, found in LAYOUTS.items() if found.files is not None]
        raise ConfigError(
            "data.path", got=f"{settings.path or settings.test_path!r} for data.dataset {settings.dataset}",
            expected="none, because these images ship with a package",
            remedy=f"set data.dataset to {' or '.join(named)}",
        )  # fmt: skip
    if kind.files is not None and not settings.path:
        raise ConfigError(
            "data.path", got="nothing", expected=f"where the images of the layout {settings.dataset} lie",
            remedy="set it in the configuration",
        )  # fmt: skip
    return kind
