"""`data.dataset` -> an opened data set, and a fingerprint of its files."""

from __future__ import annotations

import hashlib
import os

from csrms_dist.basics.lookup import chosen, resolve
from csrms_dist.datasets.image_source import Layout
from csrms_dist.datasets.layouts import LAYOUTS
from csrms_dist.datasets.layouts.layout_format import LayoutFormat
from csrms_dist.datasets.rules import assemble
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.errors import ConfigError


def open_layout(settings: DataSettings) -> Layout:
    """Open the data set of `data.dataset`: ids, labels and splits are read, no image is decoded.

    Raises ConfigError for a missing or needless `data.path` and for a user's own layout that cannot be imported,
    DataError for what docs/data.md refuses.
    """
    return assemble(_format(settings).find(settings), settings)


def data_fingerprint(settings: DataSettings) -> str:
    """A digest of names, sizes and times of change of the files that the layout reads; empty for built-in data.

    Not of their bytes: every command asks for it, and a data set may take hours to read. A copy with other times makes
    the tables anew, which costs time and nothing else; a file that is changed keeping size and time goes unnoticed.
    One walk over folders; a CSV is read for its paths.
    """
    files = _format(settings).files
    if files is None:
        return ""
    digest = hashlib.sha256()
    for file in files(settings):
        try:
            status = file.stat()
            facts = (status.st_size, status.st_mtime_ns)
        except (OSError, ValueError):  # an image that a table names and that is not there: set aside, or back one day
            facts = (-1, 0)
        digest.update(repr((os.fspath(file), *facts)).encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _format(settings: DataSettings) -> LayoutFormat:
    found: LayoutFormat = chosen(
        LAYOUTS, settings.dataset, "data.dataset",
        fits=lambda value: isinstance(value, LayoutFormat), expected="a LayoutFormat of {}",
    )  # fmt: skip
    if found.files is None and (settings.path or settings.test_path):
        named = [name for name, place in LAYOUTS.items() if resolve(place).files is not None]
        raise ConfigError(
            "data.path", got=f"{settings.path or settings.test_path!r} for data.dataset {settings.dataset}",
            expected="none, because these images ship with a package",
            remedy=f"set data.dataset to {' or '.join(named)}",
        )  # fmt: skip
    if found.files is not None and not settings.path:
        raise ConfigError(
            "data.path", got="nothing", expected=f"where the images of the layout {settings.dataset} lie",
            remedy="set it in the configuration",
        )  # fmt: skip
    return found
