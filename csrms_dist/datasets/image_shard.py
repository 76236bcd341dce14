"""One file of images: Arrow record batches of a fixed number of rows, so that the place of an image is a division.

Images of up to 64 x 64 pixels are stored decoded, larger ones encoded, to be decoded and resized when they are asked
for. A file depends on its images and their shape alone, not on who writes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from csrms_dist.artefacts.ranged_file import RangedFile
from csrms_dist.basics.arrays import I64, U8
from csrms_dist.basics.arrow_file import TAIL, RecordBatches, footer_bytes, record_batches
from csrms_dist.datasets.decoding import Shape, Stored, Unreadable, decode, encode_png, in_threads, load, stored_size
from csrms_dist.datasets.image_source import SPLITS
from csrms_dist.datasets.kernels import channel_sums, gather
from csrms_dist.errors import DataError

DECODED_PIXELS = 64 * 64
ROWS_PER_BATCH = 4096
BATCH_BYTES = 1 << 25
ENCODED_ROWS = 16
CHUNK = 256


class ImageShard:
    """A file of images (H, W, 3), memory-mapped when it is first looked at; it holds no file descriptor.

    copy: how the file is read where it may have holes.
    """

    def __init__(self, path: Path, rows_per_batch: int, shape: Shape, copy: RangedFile | None = None) -> None:
        self.path, self.rows_per_batch, self._shape, self._copy = path, rows_per_batch, shape, copy

    def gather(self, rows: I64, out: U8) -> None:
        """Decoded pixels of rows (B,) -> out (B, H * W * 3)."""
        batch, row = np.divmod(rows, self.rows_per_batch)
        first = self._starts[batch] + row * out.shape[1]
        with self._reading(first, first + out.shape[1]):
            gather(np.frombuffer(self._file, np.uint8), self._starts, self.rows_per_batch, rows, out)

    def encoded(self, row: int) -> bytes:
        """The encoded bytes of an image that is held."""
        content: bytes = self._batch(row // self.rows_per_batch)[row % self.rows_per_batch].as_py()
        return content

    def holding(self, rows: I64) -> AbstractContextManager[None]:
        """Within the block the encoded images of rows (B,) are in the file."""
        batch = rows // self.rows_per_batch
        return self._reading(self._batches.first[batch], self._batches.stop[batch])

    @cached_property
    def _file(self) -> pa.Buffer:
        with pa.memory_map(str(self.path)) as file:  # the buffer keeps the pages, the file may be closed
            return file.read_buffer()

    @cached_property
    def _batches(self) -> RecordBatches:
        """Where in the file the record batches lie."""
        size = self._file.size
        with self._reading(np.array([size - TAIL]), np.array([size])):
            footer = footer_bytes(self._file.slice(size - TAIL).to_pybytes())
        with self._reading(np.array([size - TAIL - footer]), np.array([size])):
            return record_batches(self._file.slice(size - TAIL - footer, footer).to_pybytes())

    @cached_property
    def _starts(self) -> I64:
        """Where in the file the pixels of each record batch begin: in all of them as far into the body as in one."""
        batches = self._batches
        if not len(batches.first):
            return batches.first
        with self._reading(batches.first[:1], batches.body[:1]):  # no image of it is looked at
            into = self._batch(0).buffers()[1].address - self._file.address - batches.body[0]
        starts: I64 = batches.body + into
        return starts

    def _batch(self, number: int) -> pa.Array:
        """The images of a record batch, whose bytes are there."""
        first, stop = int(self._batches.first[number]), int(self._batches.stop[number])
        message = pa.ipc.read_message(self._file.slice(first, stop - first))
        return pa.ipc.read_record_batch(message, _schema(self._shape))["image"]

    def _reading(self, first: I64, stop: I64) -> AbstractContextManager[None]:
        """Within the block these ranges of the file's bytes are there."""
        return nullcontext() if self._copy is None else self._copy.reading(first, stop)


def _schema(shape: Shape) -> pa.Schema:
    return pa.schema([("image", pa.binary(int(np.prod(shape))) if is_decoded(shape) else pa.large_binary())])


def is_decoded(shape: Shape) -> bool:
    """Whether images of this shape are stored decoded."""
    return shape[0] * shape[1] <= DECODED_PIXELS


def rows_per_batch(shape: Shape) -> int:
    """Images of a record batch."""
    width = int(np.prod(shape))
    return max(1, min(ROWS_PER_BATCH, BATCH_BYTES // width)) if is_decoded(shape) else ENCODED_ROWS


# ------------------------------------------------------------------------------------------------------------- writing


@dataclass(frozen=True)
class Part:
    """Images that become one file, before they are read. split: (N,) index into SPLITS. name: of the data set."""

    name: str
    images: Iterable[Stored]
    split: U8


@dataclass(frozen=True)
class WrittenShard:
    """A file that was written.

    rows: its images. shape: of each; None where none could be read and no shape was given, and there is no file.
    sums: (4, 2, 3), of each split the sums and the sums of squares of each channel.
    rejected: (row of the part, why it could not be read), ascending.
    """

    rows: int
    shape: Shape | None
    sums: I64
    rejected: tuple[tuple[int, str], ...]


def write_shard(
    path: Path,
    part: Part,
    shape: Shape | None,
    content: hashlib._Hash,
    on_images: Callable[[int], None] = lambda _: None,
) -> WrittenShard:
    """Write a file of images in one pass, a record batch at a time; images that cannot be read are left out.

    Raises DataError for another number of images than rows.

    shape: None: that of the first readable image.
    content: a hash that is fed with every image.
    on_images: hears how many more images have been read.
    """
    sums = np.zeros((len(SPLITS), 2, 3), np.int64)
    rejected: list[tuple[int, str]] = []
    writer = None if shape is None else _Writer(path, shape)
    try:
        for start, items in chunks(part):
            shape = shape or first_shape(items)
            if shape is None:
                rejected += [(start + n, _reason(item)) for n, item in enumerate(items)]
                on_images(len(items))
                continue
            writer = writer or _Writer(path, shape)
            for row, image in enumerate(in_threads(partial(_prepare, shape=shape), items), start):
                if isinstance(image, Unreadable):
                    rejected.append((row, image.reason))
                else:
                    sums[part.split[row]] += image.sums
                    writer.add(image.content)
                    content.update(_hashed(image.content))
            on_images(len(items))
    finally:
        if writer is not None:
            writer.close()
    return WrittenShard(len(part.split) - len(rejected), shape, sums, tuple(rejected))


def _hashed(content: bytes | U8) -> bytes:
    """The bytes of an image that the content's hash reads: its pixels, or its encoded bytes after their number."""
    return f"{len(content)} ".encode() + content if isinstance(content, bytes) else content.tobytes()


def chunks(part: Part) -> Iterator[tuple[int, list[Stored]]]:
    """(first row, images) of a bounded number of rows and bytes at a time."""
    images = iter(part.images)
    start, n = 0, len(part.split)
    while items := _some(images):
        if start + len(items) > n:
            raise DataError(part.name, got="more images than ids", expected=f"{n}, one for each id")
        yield start, items
        start += len(items)
    if start < n:
        raise DataError(part.name, got=f"{start} images", expected=f"{n}, one for each id")


def _some(images: Iterator[Stored]) -> list[Stored]:
    """The next images: at most CHUNK, and not many more bytes than BATCH_BYTES."""
    items: list[Stored] = []
    size = 0
    for item in images:
        items.append(item)
        size += stored_size(item)
        if len(items) == CHUNK or size >= BATCH_BYTES:
            break
    return items


def first_shape(items: list[Stored]) -> Shape | None:
    """The shape of the first readable image."""
    for item in items:
        pixels = decode(item)
        if not isinstance(pixels, Unreadable):
            return pixels.shape[0], pixels.shape[1], 3
    return None


def _reason(item: Stored) -> str:
    found = decode(item)
    return found.reason if isinstance(found, Unreadable) else ""


@dataclass(frozen=True)
class _Prepared:
    """A readable image: what the table stores of it, and its channel sums (2, 3)."""

    content: bytes | U8
    sums: I64


def _prepare(stored: Stored, *, shape: Shape) -> _Prepared | Unreadable:
    """Decode one image, sum its channels, and keep what the table stores."""
    content = load(stored)
    pixels = decode(content, shape) if not isinstance(content, Unreadable) else content
    if isinstance(pixels, Unreadable) or isinstance(content, Unreadable):
        return pixels if isinstance(pixels, Unreadable) else Unreadable("no bytes")
    sums = np.zeros((2, 3), np.int64)
    channel_sums(pixels, sums)
    if is_decoded(shape):
        return _Prepared(np.ascontiguousarray(pixels).reshape(-1), sums)
    return _Prepared(encode_png(content) if isinstance(content, np.ndarray) else content, sums)


class _Writer:
    """Images, one after the other -> record batches of a fixed number of rows."""

    def __init__(self, path: Path, shape: Shape) -> None:
        width = int(np.prod(shape))
        self._decoded, self._rows = is_decoded(shape), rows_per_batch(shape)
        self._schema = _schema(shape)
        self._sink = pa.OSFile(str(path), "wb")
        self._file = pa.ipc.new_file(self._sink, self._schema)
        self._pixels = np.empty((self._rows if self._decoded else 0, width), np.uint8)
        self._encoded: list[bytes] = []
        self._held = 0

    def add(self, content: bytes | U8) -> None:
        if isinstance(content, bytes):
            self._encoded.append(content)
        else:
            self._pixels[self._held] = content
        self._held += 1
        if self._held == self._rows:
            self._flush()

    def _flush(self) -> None:
        if self._decoded:
            kind, buffer = self._schema.field("image").type, pa.py_buffer(self._pixels[: self._held])
            images = pa.FixedSizeBinaryArray.from_buffers(kind, self._held, [None, buffer])
        else:
            images = pa.array(self._encoded, pa.large_binary())
        self._file.write_batch(pa.record_batch([images], schema=self._schema))
        self._held = 0
        self._encoded.clear()

    def close(self) -> None:
        if self._held:
            self._flush()
        self._file.close()
        self._sink.close()
