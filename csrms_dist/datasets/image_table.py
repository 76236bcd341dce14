"""The image table: images with random access by dense index, in memory-mapped Arrow IPC files.

Three files: `<name>.arrow` holds the images in record batches of a fixed number of rows, so the place of an image is a
division, at fifty thousand and at a hundred million images; `<name>.rows.arrow` the user's own ids, splits and labels,
in one record batch; `<name>.json` the facts. Images of up to 64 x 64 pixels are stored decoded, larger ones encoded, to
be decoded and resized when they are asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc
from scipy import sparse

from csrms_dist.artefacts.ranged_file import RangedFile
from csrms_dist.basics.arrays import I32, I64, U8, Bools
from csrms_dist.basics.arrow_file import TAIL, RecordBatches, footer_bytes, record_batches
from csrms_dist.basics.hashing import texts
from csrms_dist.datasets.decoding import Shape, Stored, Unreadable, decode, encode_png, in_threads, load, stored_size
from csrms_dist.datasets.image_source import SPLITS, TRAIN, UNLABELLED, ImageSource, Selected
from csrms_dist.datasets.kernels import channel_sums, gather
from csrms_dist.errors import DataError
from csrms_dist.labels import LabelSpace, Membership

DECODED_PIXELS = 64 * 64
ROWS_PER_BATCH = 4096
BATCH_BYTES = 1 << 25
ENCODED_ROWS = 16
CHUNK = 256


@dataclass(frozen=True)
class Rejected:
    """An image that could not be read, and why."""

    id: str
    reason: str
    split: str = ""


@dataclass(frozen=True)
class Written:
    """An image table that was written: the hash of its content, the shape of its images, the images set aside."""

    content_hash: str
    shape: Shape
    rejected: tuple[Rejected, ...]


class ImageTable:
    """A saved image table, memory-mapped. Indexing by dense index; safe to open in many processes.

    copy: how the file is read where it may have holes; only what holds the images that are asked for is fetched then.
    """

    def __init__(self, path: Path, copy: RangedFile | None = None) -> None:
        self.path = path
        facts = json.loads(path.with_suffix(".json").read_text())
        self.name: str = facts["name"]
        self.content_hash: str = facts["content_hash"]
        self.label_space = LabelSpace(tuple(facts["class_names"]), facts["multi_label"])
        self.shape: Shape = (facts["shape"][0], facts["shape"][1], facts["shape"][2])
        self.decoded: bool = facts["decoded"]
        self._rows_per_batch: int = facts["rows_per_batch"]
        self._sums: dict[str, list[list[int]]] = facts["sums"]
        rows = pa.ipc.open_file(pa.memory_map(str(_rows_file(path)))).get_batch(0)
        self.ids: pa.StringArray = rows["id"]
        """(N,), memory-mapped."""
        self.split: U8 = rows["split"].to_numpy()
        """(N,) index into SPLITS, memory-mapped."""
        self.uris: pa.StringArray | None = rows["uri"] if "uri" in rows.schema.names else None
        """(N,) where each image was read from, memory-mapped; None where the layout cannot say."""
        labels = rows["labels"]
        self.membership: Membership = _mapped_membership(
            labels.offsets.to_numpy(), labels.values.to_numpy(), self.label_space.n_classes
        )
        self._copy = copy
        self._file = pa.memory_map(str(path)).read_buffer()
        self._batches = self._record_batches()

    def __len__(self) -> int:
        return len(self.ids)

    def indices(self, split: str) -> I64:
        """The dense indices of a split, ascending."""
        return np.flatnonzero(self.split == SPLITS.index(split)).astype(np.int64)

    def pixels(self, indices: npt.NDArray[np.integer]) -> U8:
        """(B,) dense indices -> (B, H, W, 3) uint8, a copy. Raises IndexError for an index that the table has not."""
        indices = np.ascontiguousarray(indices, np.int64)
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"image {indices.min()}..{indices.max()} of a table of {len(self)}")
        out = np.empty((len(indices), *self.shape), np.uint8)
        batch, row = np.divmod(indices, self._rows_per_batch)
        if self.decoded:
            file, starts, width = np.frombuffer(self._file, np.uint8), self._starts, int(np.prod(self.shape))
            first = starts[batch] + row * width
            with self._reading(first, first + width):
                gather(file, starts, self._rows_per_batch, indices, out.reshape(len(indices), width))
            return out
        with self._reading(self._batches.first[batch], self._batches.stop[batch]):
            found = list(in_threads(self._decoded, indices.tolist()))
        for place, pixels in enumerate(found):
            if isinstance(pixels, Unreadable):
                raise DataError(
                    f"{self.path}: image '{self.ids[int(indices[place])]}'", got=f"'{pixels.reason}'",
                    expected="what could be read when the table was written", remedy="run `csrms images CONFIG` again",
                )  # fmt: skip
            out[place] = pixels
        return out

    def channel_statistics(self, split: str = "train") -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel of a split, in 0..1, from exact integer sums."""
        total, squares = (np.array(sums, np.float64) for sums in self._sums[split])
        count = max(1, int((self.split == SPLITS.index(split)).sum()) * self.shape[0] * self.shape[1])
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean * mean, 0.0))
        return (mean / 255).tolist(), (np.maximum(std, 1e-3) / 255).tolist()

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

    def _record_batches(self) -> RecordBatches:
        """Where in the file the record batches lie."""
        size = self._file.size
        with self._reading(np.array([size - TAIL]), np.array([size])):
            footer = footer_bytes(self._file.slice(size - TAIL).to_pybytes())
        with self._reading(np.array([size - TAIL - footer]), np.array([size])):
            return record_batches(self._file.slice(size - TAIL - footer, footer).to_pybytes())

    def _batch(self, number: int) -> pa.Array:
        """The images of a record batch, whose bytes are there."""
        first, stop = int(self._batches.first[number]), int(self._batches.stop[number])
        message = pa.ipc.read_message(self._file.slice(first, stop - first))
        return pa.ipc.read_record_batch(message, _schema(self.shape, self.decoded))["image"]

    def _decoded(self, index: int) -> U8 | Unreadable:
        batch = self._batch(index // self._rows_per_batch)
        return decode(batch[index % self._rows_per_batch].as_py(), self.shape)

    def _reading(self, first: I64, stop: I64) -> AbstractContextManager[None]:
        """Within the block these ranges of the file's bytes are there."""
        return nullcontext() if self._copy is None else self._copy.reading(first, stop)


def _schema(shape: Shape, decoded: bool) -> pa.Schema:
    return pa.schema([("image", pa.binary(int(np.prod(shape))) if decoded else pa.large_binary())])


def _rows_file(path: Path) -> Path:
    return path.with_suffix(".rows.arrow")


def _mapped_membership(offsets: I32, labels: I32, n_classes: int) -> Membership:
    """Membership (N, K) on the arrays of the file, which were canonical when they were written; only ones are made."""
    matrix = sparse.csr_array(
        (np.ones(len(labels), np.uint8), labels, offsets), shape=(len(offsets) - 1, n_classes), copy=False
    )
    matrix.has_canonical_format = True
    return matrix


# ------------------------------------------------------------------------------------------------------------- writing


@dataclass(frozen=True)
class _Prepared:
    """A readable image: what the table stores of it, and its channel sums (2, 3)."""

    content: bytes | U8
    sums: I64


def write_image_table(
    path: Path, source: ImageSource, *, shape: Shape | None = None, on_images: Callable[[int], None] = lambda _: None
) -> Written:
    """Write an image table in one pass, a record batch at a time; images that cannot be read are left out.

    Raises DataError for images that do not fit the ids, a split with labels without a readable image, and a class that
    had training images, none of them readable.

    source: its ids are unique; without a row it makes an empty table, if `shape` is given.
    shape: of the images where the source does not say it.
    on_images: hears how many more images have been read.
    """
    if not len(source) and shape is None:
        raise DataError(source.name, got="no images", expected="at least one")
    shape = source.shape or shape
    totals = np.zeros((len(SPLITS), 2, 3), np.int64)
    content = hashlib.sha256()
    rejected: list[tuple[int, str]] = []
    writer: _Writer | None = None
    try:
        for start, items in _chunks(source):
            shape = shape or _first_shape(items)
            if shape is None:
                rejected += [(start + n, _reason(item)) for n, item in enumerate(items)]
                continue
            writer = writer or _Writer(path, shape)
            found = in_threads(partial(_prepare, shape=shape, decoded=writer.decoded), items)
            for row, image in enumerate(found, start):
                if isinstance(image, Unreadable):
                    rejected.append((row, image.reason))
                else:
                    totals[source.split[row]] += image.sums
                    writer.add(image.content)
                    content.update(_hashed(image.content))
            on_images(len(items))
        _refuse_emptied(source, rejected)
        if not len(source) and shape is not None:
            writer = _Writer(path, shape)
        if writer is None or shape is None:
            raise DataError(source.name, got="no readable image", expected="at least one")
    finally:
        if writer is not None:
            writer.close()
    kept = np.ones(len(source), np.bool_)
    kept[[row for row, _ in rejected]] = False
    digest = _write_rows(path, source, kept, content, shape)
    facts = {
        "name": source.name,
        "class_names": list(source.label_space.class_names),
        "multi_label": source.label_space.multi_label,
        "shape": list(shape),
        "decoded": writer.decoded,
        "rows_per_batch": writer.rows_per_batch,
        "content_hash": digest,
        "sums": {split: totals[code].tolist() for code, split in enumerate(SPLITS)},
    }
    path.with_suffix(".json").write_text(json.dumps(facts))
    return Written(
        digest,
        shape,
        tuple(Rejected(source.ids[row].as_py(), reason, SPLITS[source.split[row]]) for row, reason in rejected),
    )


def _hashed(content: bytes | U8) -> bytes:
    """The bytes of an image that the content's hash reads: its pixels, or its encoded bytes after their number."""
    return f"{len(content)} ".encode() + content if isinstance(content, bytes) else content.tobytes()


def _chunks(source: ImageSource) -> Iterator[tuple[int, list[Stored]]]:
    """(first row, images) of a bounded number of rows and bytes at a time."""
    images = iter(source.images)
    start = 0
    while items := _some(images):
        if start + len(items) > len(source):
            raise DataError(source.name, got="more images than ids", expected=f"{len(source)}, one for each id")
        yield start, items
        start += len(items)
    if start < len(source):
        raise DataError(source.name, got=f"{start} images", expected=f"{len(source)}, one for each id")


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


def _first_shape(items: list[Stored]) -> Shape | None:
    """The shape of the first readable image."""
    for item in items:
        pixels = decode(item)
        if not isinstance(pixels, Unreadable):
            return pixels.shape[0], pixels.shape[1], 3
    return None


def _reason(item: Stored) -> str:
    found = decode(item)
    return found.reason if isinstance(found, Unreadable) else ""


def _prepare(stored: Stored, *, shape: Shape, decoded: bool) -> _Prepared | Unreadable:
    """Decode one image, sum its channels, and keep what the table stores."""
    content = load(stored)
    pixels = decode(content, shape) if not isinstance(content, Unreadable) else content
    if isinstance(pixels, Unreadable) or isinstance(content, Unreadable):
        return pixels if isinstance(pixels, Unreadable) else Unreadable("no bytes")
    sums = np.zeros((2, 3), np.int64)
    channel_sums(pixels, sums)
    if decoded:
        return _Prepared(np.ascontiguousarray(pixels).reshape(-1), sums)
    return _Prepared(encode_png(content) if isinstance(content, np.ndarray) else content, sums)


class _Writer:
    """Images, one after the other -> record batches of a fixed number of rows."""

    def __init__(self, path: Path, shape: Shape) -> None:
        width = int(np.prod(shape))
        self.decoded = shape[0] * shape[1] <= DECODED_PIXELS
        self.rows_per_batch = max(1, min(ROWS_PER_BATCH, BATCH_BYTES // width)) if self.decoded else ENCODED_ROWS
        self._schema = _schema(shape, self.decoded)
        self._sink = pa.OSFile(str(path), "wb")
        self._file = pa.ipc.new_file(self._sink, self._schema)
        self._pixels = np.empty((self.rows_per_batch if self.decoded else 0, width), np.uint8)
        self._encoded: list[bytes] = []
        self._held = 0

    def add(self, content: bytes | U8) -> None:
        if isinstance(content, bytes):
            self._encoded.append(content)
        else:
            self._pixels[self._held] = content
        self._held += 1
        if self._held == self.rows_per_batch:
            self._flush()

    def _flush(self) -> None:
        if self.decoded:
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


def _write_rows(path: Path, source: ImageSource, kept: Bools, content: hashlib._Hash, shape: Shape) -> str:
    """Write ids, splits, labels and uris of the kept rows; returns the hash of all but the uris, and of `content`."""
    whole = bool(kept.all())
    ids = source.ids if whole else source.ids.filter(pa.array(kept))
    membership = source.membership if whole else source.membership[kept]
    split = source.split if whole else source.split[kept]
    offsets, labels = membership.indptr.astype(np.int32), membership.indices.astype(np.int32)
    for name in texts(ids):
        content.update(name.encode() + b"\0")
    for part in (split, offsets, labels):
        content.update(np.ascontiguousarray(part).data)
    content.update(repr((shape, source.label_space)).encode())
    columns = {"id": ids, "split": pa.array(split), "labels": pa.ListArray.from_arrays(offsets, labels)}
    uris = source.images.uris() if isinstance(source.images, Selected) else None
    if uris is not None:
        columns["uri"] = uris if whole else uris.filter(pa.array(kept))
    batch = pa.record_batch(columns)
    with pa.OSFile(str(_rows_file(path)), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as file:
        file.write_batch(batch)
    return str(content.hexdigest()[:32])


def _refuse_emptied(source: ImageSource, rejected: list[tuple[int, str]]) -> None:
    """Raises DataError when nothing readable is left of a split, or of a class in training."""
    if not rejected:
        return
    row, reason = rejected[0]
    why = f"{len(rejected):,} unreadable image{'s' * (len(rejected) > 1)}, the first '{source.ids[row]}': {reason}"
    kept = np.ones(len(source), np.bool_)
    kept[[row for row, _ in rejected]] = False
    for code, split in enumerate(SPLITS):
        of_split = source.split == code
        if code != UNLABELLED and of_split.any() and not (of_split & kept).any():
            expected = f"a readable image in the split {split}"
            raise DataError(source.name, got=why, expected=expected, remedy="repair or replace them")
    training = source.split == TRAIN
    before, after = (np.asarray(source.membership[rows].sum(axis=0)) for rows in (training, training & kept))
    emptied = np.flatnonzero((before > 0) & (after == 0))
    if len(emptied):
        expected = f"a readable training image of the class '{source.label_space.class_names[emptied[0]]}'"
        raise DataError(source.name, got=why, expected=expected, remedy="repair or replace them")
