"""The image table: decoded images with random access by dense index, in a memory-mapped Arrow IPC file.

A batch costs the same at fifty thousand and at a hundred million images: record batches have a fixed number of rows, so
the place of an image is a division. The user's own ids, the split and the labels lie beside the pixels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc

from csrms_dist.errors import DataError
from csrms_dist.labels import LabelSpace, Membership, label_lists, membership_from_csr

U8 = npt.NDArray[np.uint8]
ROWS_PER_BATCH = 4096


@dataclass(frozen=True)
class ImageSource:
    """What a layout yields: the images of one split file, in a fixed order.

    images: (N, H, W, 3) uint8 array-like or an iterable of (H, W, 3). ids: (N,) unique. membership: (N, K).
    split: (N,) strings, each 'train', 'val' or 'test'.
    """

    name: str
    label_space: LabelSpace
    ids: list[str]
    membership: Membership
    split: list[str]
    images: Iterable[U8]
    shape: tuple[int, int, int]


class ImageTable:
    """A saved image table, memory-mapped. Indexing by dense index; safe to open in many processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        facts = json.loads(table.schema.metadata[b"csrms"])
        self.name: str = facts["name"]
        self.content_hash: str = facts["content_hash"]
        self.label_space = LabelSpace(tuple(facts["class_names"]), facts["multi_label"])
        self.shape: tuple[int, int, int] = (facts["shape"][0], facts["shape"][1], facts["shape"][2])
        self._table = table
        self._chunks = [self._view(chunk) for chunk in table["image"].chunks]
        labels = table["labels"].combine_chunks()
        self.membership: Membership = membership_from_csr(
            labels.offsets.to_numpy(), labels.values.to_numpy(), self.label_space.n_classes
        )

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @property
    def _width(self) -> int:
        return int(np.prod(self.shape))

    def _view(self, chunk: Any) -> U8:
        """The images of one record batch, without a copy."""
        pixels = np.frombuffer(chunk.buffers()[1], np.uint8)
        first = chunk.offset * self._width
        return pixels[first : first + len(chunk) * self._width].reshape(len(chunk), *self.shape)

    @property
    def ids(self) -> Any:
        """(N,) Arrow strings."""
        return self._table["id"].combine_chunks()

    def indices(self, split: str) -> npt.NDArray[np.int64]:
        """The dense indices of a split, ascending."""
        return np.flatnonzero(self._table["split"].to_numpy() == split).astype(np.int64)

    def pixels(self, indices: npt.NDArray[np.int64]) -> U8:
        """(B,) dense indices -> (B, H, W, 3) uint8, a copy."""
        out = np.empty((len(indices), *self.shape), np.uint8)
        for place, index in enumerate(indices):
            out[place] = self._chunks[index // ROWS_PER_BATCH][index % ROWS_PER_BATCH]
        return out

    def channel_statistics(self, split: str = "train") -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel of a split, in 0..1, from exact integer sums."""
        total = np.zeros(3, np.int64)
        squares = np.zeros(3, np.int64)
        indices = self.indices(split)
        for start in range(0, len(indices), ROWS_PER_BATCH):
            block = self.pixels(indices[start : start + ROWS_PER_BATCH]).astype(np.int64)
            total += block.sum(axis=(0, 1, 2))
            squares += (block * block).sum(axis=(0, 1, 2))
        count = max(1, len(indices) * self.shape[0] * self.shape[1])
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean * mean, 0.0))
        return (mean / 255).tolist(), (np.maximum(std, 1e-3) / 255).tolist()


def write_image_table(path: Path, source: ImageSource) -> str:
    """Write an image table; returns the hash of its content.

    Raises DataError for a repeated id, no image at all, or images that do not fit the ids or the shape.
    """
    if not source.ids:
        raise DataError(source.name, got="no images", expected="at least one")
    if len(set(source.ids)) != len(source.ids):
        seen: set[str] = set()
        repeated = next(i for i in source.ids if i in seen or seen.add(i))  # type: ignore[func-returns-value]
        raise DataError(source.name, got=f"the id '{repeated}' twice", expected="every id once")
    labels = label_lists(source.membership)
    content = hashlib.sha256()
    for row in zip(source.ids, source.split, labels, strict=True):
        content.update(repr(row).encode())
    width = int(np.prod(source.shape))
    facts = {
        "name": source.name,
        "class_names": list(source.label_space.class_names),
        "multi_label": source.label_space.multi_label,
        "shape": list(source.shape),
        "content_hash": "",
    }
    batches: list[Any] = []
    written = 0
    for start, block in _blocks(source):
        content.update(block.tobytes())
        written = stop = start + len(block)
        batches.append(
            pa.record_batch(
                {
                    "id": pa.array(source.ids[start:stop], pa.string()),
                    "split": pa.array(source.split[start:stop], pa.string()),
                    "labels": pa.array(labels[start:stop], pa.list_(pa.int32())),
                    "image": pa.FixedSizeBinaryArray.from_buffers(
                        pa.binary(width), len(block), [None, pa.py_buffer(np.ascontiguousarray(block))]
                    ),
                }
            )
        )
    if written != len(source.ids):
        raise DataError(source.name, got=f"{written} images", expected=f"{len(source.ids)}, one for each id")
    facts["content_hash"] = content.hexdigest()[:32]
    schema = batches[0].schema.with_metadata({"csrms": json.dumps(facts)})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    return str(facts["content_hash"])


def _blocks(source: ImageSource) -> Iterator[tuple[int, U8]]:
    """(first row, images) of each record batch."""
    start: int = 0
    held: list[U8] = []
    for row, image in enumerate(source.images):
        if row == len(source.ids):
            raise DataError(source.name, got="more images than ids", expected=f"{row}, one for each id")
        if image.shape != source.shape:
            got = f"the shape {image.shape}"
            raise DataError(f"{source.name}, image '{source.ids[row]}'", got=got, expected=str(source.shape))
        held.append(image)
        if len(held) == ROWS_PER_BATCH:
            yield start, np.stack(held)
            start, held = start + len(held), []
    if held:
        yield start, np.stack(held)
