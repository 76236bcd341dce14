"""Parquet: `image` (encoded bytes, or Hugging Face's {'bytes': ...}), `id`, `split`, and `label` or `labels`.

A folder holds train*.parquet, test*.parquet and, if there are any, validation*.parquet, or folders of these names; a
single file goes with a column `split`, with `data.test_path` or with `data.test_fraction`. `label` is a class index
(named by `class_name`, if that is there, or by the file's metadata) or a text; `labels` is a list of class indices
(named by `tags`, where each row has as many) or of texts, or a 0/1 vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.parquet import batches
from csrms_dist.datasets.decoding import Stored
from csrms_dist.datasets.image_column import IMAGE, open_images, stored_images
from csrms_dist.datasets.image_source import Selected
from csrms_dist.datasets.layouts.layout_format import LayoutFormat
from csrms_dist.datasets.parquet_tables import Holding, Place, files_of, find

IMAGES_READ = 256
BYTES_READ = 1 << 25
_READABLE = "a Parquet file of image and label or labels"


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

    def narrowed(self, rows: I64) -> Selected:
        return Selected(_EncodedImages(tuple(path.absolute() for path in self.paths)), rows)

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


def _open(place: Place) -> pq.ParquetFile:
    return open_images(Path(place), _READABLE)


def _reader(places: Sequence[Place], *_: object) -> tuple[_EncodedImages, None]:
    return _EncodedImages(tuple(map(Path, places))), None


LAYOUT = LayoutFormat(
    partial(find, holding=Holding(_open, _reader)), lambda settings: chain(*files_of(settings)[0].values())
)
