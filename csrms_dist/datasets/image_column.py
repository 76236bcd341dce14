"""The column `image` of Parquet files: encoded bytes, or Hugging Face's {'bytes': ..., 'path': ...}."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.arrow import is_bytes, plain
from csrms_dist.basics.parquet import open_parquet
from csrms_dist.errors import DataError

IMAGE = "image"


def open_images(path: Path, expected: str) -> pq.ParquetFile:
    """Open a Parquet file of images. Raises DataError when it is none, `expected` in words, or has no such column."""
    file = open_parquet(path, expected)
    names: Sequence[str] = file.schema_arrow.names
    if IMAGE not in names:
        raise DataError(
            f"{path}", got=f"the columns {', '.join(names)}", expected="a column 'image' of encoded bytes",
            remedy="rename it",
        )  # fmt: skip
    kind = file.schema_arrow.field(IMAGE).type
    encoded = kind.field("bytes").type if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 else kind
    if not is_bytes(encoded):
        raise DataError(f"{path}: column image", got=str(kind), expected="encoded bytes, such as those of a PNG file")
    return file


def stored_images(images: pa.Array, rows: I64 | None = None) -> list[bytes | None]:
    """The encoded images of a column, or of some of its rows; None where there is nothing."""
    if pa.types.is_struct(images.type):
        images = images.field("bytes")
    images = plain(images)
    found: list[bytes | None] = (images if rows is None else images.take(pa.array(rows))).to_pylist()
    return found
