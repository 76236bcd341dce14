"""A layout before the rules hold: the rows that it finds, unchecked, and the two functions that it brings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from csrms_dist.basics.arrays import I64, Bools
from csrms_dist.basics.lookup import Kind
from csrms_dist.datasets.addresses import RemoteFile
from csrms_dist.datasets.decoding import Stored
from csrms_dist.datasets.folder_walk import shown
from csrms_dist.datasets.image_source import TEST, TRAIN, VAL, Reader, Selected
from csrms_dist.datasets.settings import DataSettings

ALL = "all"
SIDES = {"train": TRAIN, "val": VAL, "test": TEST}


@dataclass(frozen=True)
class Rows:
    """The rows of one side, unchecked.

    ids: (N,).
    offsets: (N + 1,), and labels: (L,), the class indices of each row in CSR form. A row of -1 alone has no label, nor
    has one without any, unless there may be several.
    images: reads the images of some rows.
    unlabelled: (N,), further rows that nobody labelled: where there may be several labels, none is no class.
    """

    ids: pa.StringArray
    offsets: I64
    labels: npt.NDArray[np.integer[Any]]
    images: Reader
    unlabelled: Bools | None = None


@dataclass(frozen=True)
class Found:
    """All rows of a data set. sides: 'train' and 'test', perhaps 'val'; or 'all' alone, to be divided by hash.

    names: of the classes that have one, by index. n_classes: where the layout knows it; 0: from the largest index.
    """

    name: str
    sides: Mapping[str, Rows]
    multi_label: bool = False
    names: Mapping[int, str] = field(default_factory=dict)
    n_classes: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayoutFormat:
    """A layout. find: reads ids and labels, and no image.

    files: all that it reads, for the fingerprint; None: the images ship with a package, and `data.path` is empty.
    """

    find: Callable[[DataSettings], Found]
    files: Callable[[DataSettings], Iterable[Path | os.DirEntry[str] | RemoteFile]] | None = None


@dataclass(frozen=True)
class ImageFiles:
    """Reads images that are files of their own. names: (N,), paths below `root` after `skip` characters of each.

    odd: the paths of those rows whose names on disk are no UTF-8, as Python holds them.
    """

    names: pa.StringArray
    root: Path = Path()
    skip: int = 0
    odd: Mapping[int, str] = field(default_factory=dict)

    def __call__(self, rows: I64) -> Iterator[Stored]:
        for row in rows.tolist():
            yield self.root / (self.odd.get(row) or self.names[row].as_py()[self.skip :])

    def uris(self, rows: I64) -> pa.StringArray:
        """Absolute paths."""
        below = pc.utf8_slice_codeunits(self.names.take(pa.array(rows)), self.skip)
        root = shown(os.path.join(os.path.abspath(self.root), ""))  # noqa: PTH100, PTH118 - links stay as they are named
        return pc.binary_join_element_wise(pa.scalar(root), below, "")

    def narrowed(self, rows: I64) -> Selected:
        odd = {place: self.odd[row] for place, row in enumerate(rows.tolist()) if row in self.odd} if self.odd else {}
        root = Path(os.path.abspath(self.root))  # noqa: PTH100 - links stay as they are named
        return Selected(ImageFiles(self.names.take(pa.array(rows)), root, self.skip, odd), np.arange(len(rows)))


KIND = Kind("a LayoutFormat of {}", lambda value: isinstance(value, LayoutFormat))
"""A layout of a user's own."""
