"""The image table: images with random access by dense index, in memory-mapped Arrow files.

`<name>.arrow` holds the images (`image_shard.py`), or `<name>-00000.arrow`, `<name>-00001.arrow`, ... where they are
more than a shard's. `<name>.rows.arrow` holds the user's own ids, splits and labels of all, in one record batch;
`<name>.json` the facts.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc
from scipy import sparse

from csrms_dist.artefacts.files import write_whole
from csrms_dist.artefacts.ranged_file import RangedFile
from csrms_dist.basics.arrays import I32, I64, U8, Bools
from csrms_dist.basics.hashing import texts
from csrms_dist.datasets.decoding import Shape, Unreadable, decode, in_threads
from csrms_dist.datasets.image_shard import (
    ImageShard,
    Part,
    WrittenShard,
    chunks,
    first_shape,
    is_decoded,
    rows_per_batch,
    write_shard,
)
from csrms_dist.datasets.image_source import SPLITS, TRAIN, UNLABELLED, ImageSource, Selected
from csrms_dist.datasets.settings import SHARD_IMAGES
from csrms_dist.errors import DataError
from csrms_dist.labels import LabelSpace, Membership


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


def _all_here(name: str) -> RangedFile | None:
    return None


class ImageTable:
    """A saved image table, memory-mapped. Indexing by dense index; safe to open in many processes.

    copy_of: how a file of images is read, by its name, where it may have holes: only what holds the images that are
    asked for is fetched then.
    """

    def __init__(self, path: Path, copy_of: Callable[[str], RangedFile | None] = _all_here) -> None:
        self.path = path
        facts = json.loads(path.with_suffix(".json").read_text())
        self.name: str = facts["name"]
        self.content_hash: str = facts["content_hash"]
        self.label_space = LabelSpace(tuple(facts["class_names"]), facts["multi_label"])
        self.shape: Shape = (facts["shape"][0], facts["shape"][1], facts["shape"][2])
        self.decoded: bool = facts["decoded"]
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
        counts: list[int] | None = facts.get("shards")
        paths = [path] if counts is None else [shard_path(path, number) for number in range(len(counts))]
        per_batch: int = facts["rows_per_batch"]
        self.shards: tuple[ImageShard, ...] = tuple(
            ImageShard(some, per_batch, self.shape, copy_of(some.name)) for some in paths
        )
        """The files of the images, each opened when one of its images is first asked for."""
        self.starts: I64 = np.concatenate([[0], np.cumsum([len(self)] if counts is None else counts, dtype=np.int64)])
        """(shards + 1,) the dense index of the first image of each shard, and the number of all images."""

    def __len__(self) -> int:
        return len(self.ids)

    def indices(self, split: str) -> I64:
        """The dense indices of a split, ascending."""
        return np.flatnonzero(self.split == SPLITS.index(split)).astype(np.int64)

    def pixels(self, indices: npt.NDArray[np.integer]) -> U8:
        """(B,) dense indices -> (B, H, W, 3) uint8, a copy. Raises IndexError for an index that the table has not."""
        wanted: I64 = np.ascontiguousarray(indices).astype(np.int64, copy=False)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"image {wanted.min()}..{wanted.max()} of a table of {len(self)}")
        out = np.empty((len(wanted), *self.shape), np.uint8)
        if self.decoded:
            self._gather(wanted, out.reshape(len(wanted), int(np.prod(self.shape))))
            return out
        with ExitStack() as stack:
            for shard, _, rows in self._by_shard(wanted):
                stack.enter_context(shard.holding(rows))
            found = list(in_threads(self._decoded, wanted.tolist()))
        for place, pixels in enumerate(found):
            if isinstance(pixels, Unreadable):
                raise DataError(
                    f"{self.path}: image '{self.ids[int(wanted[place])]}'", got=f"'{pixels.reason}'",
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

    def _by_shard(self, indices: I64) -> Iterator[tuple[ImageShard, I64, I64]]:
        """Of indices (B,) the shards that hold some: (shard, places in indices, rows of the shard)."""
        shard = np.searchsorted(self.starts, indices, "right") - 1
        order = np.argsort(shard, kind="stable")
        ends = np.searchsorted(shard[order], np.arange(len(self.shards) + 1))
        for number in np.unique(shard).tolist():
            places = order[ends[number] : ends[number + 1]]
            yield self.shards[number], places, indices[places] - self.starts[number]

    def _gather(self, indices: I64, out: U8) -> None:
        """Pixels of indices (B,) -> out (B, H * W * 3), shard by shard."""
        if len(self.shards) == 1:
            self.shards[0].gather(indices, out)
            return
        for shard, places, rows in self._by_shard(indices):
            some = np.empty((len(places), out.shape[1]), np.uint8)
            shard.gather(rows, some)
            out[places] = some

    def _decoded(self, index: int) -> U8 | Unreadable:
        number = int(np.searchsorted(self.starts, index, "right")) - 1
        return decode(self.shards[number].encoded(index - int(self.starts[number])), self.shape)


def shard_path(path: Path, number: int) -> Path:
    """The file of a shard of a table that has several."""
    return path.with_name(f"{path.stem}-{number:05d}{path.suffix}")


def holds_images(name: str) -> bool:
    """Whether a file of a table is one of images, not of rows or facts."""
    return name.endswith(".arrow") and not name.endswith(_ROWS)


_ROWS = ".rows.arrow"


def _rows_file(path: Path) -> Path:
    return path.with_suffix(_ROWS)


def _mapped_membership(offsets: I32, labels: I32, n_classes: int) -> Membership:
    """Membership (N, K) on the arrays of the file, which were canonical when they were written; only ones are made."""
    matrix = sparse.csr_array(
        (np.ones(len(labels), np.uint8), labels, offsets), shape=(len(offsets) - 1, n_classes), copy=False
    )
    matrix.has_canonical_format = True
    return matrix


# ------------------------------------------------------------------------------------------------------------- writing


class Run(Protocol):
    """Runs tasks in any processes, in any order, perhaps more than once: `Executor.map` of the sharded clustering."""

    def __call__(
        self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], after: Callable[[int], None]
    ) -> list[Any]:
        """function(*task) for each task, in the order of the tasks; `after` hears the number of each that is done."""
        ...


def write_image_table(
    path: Path,
    source: ImageSource,
    *,
    shape: Shape | None = None,
    on_images: Callable[[int], None] = lambda _: None,
    shard_images: int = SHARD_IMAGES,
    work: Path | None = None,
    run: Run | None = None,
) -> Written:
    """Write an image table; images that cannot be read are left out.

    Raises DataError for images that do not fit the ids, a split with labels without a readable image, and a class that
    had training images, none of them readable.

    source: its ids are unique; without a row it makes an empty table, if `shape` is given.
    shape: of the images where the source does not say it.
    on_images: hears how many more images have been read.
    shard_images: rows of the source that become one file. A source whose rows are read one after the other alone
    becomes a single one.
    work: a folder on the same file system where shards lie until all are there; those that an earlier attempt has
    finished are taken from it.
    run: who writes the shards, where there are several; None: this process.
    """
    if not len(source) and shape is None:
        raise DataError(source.name, got="no images", expected="at least one")
    shape = source.shape or shape
    content = hashlib.sha256()
    if len(source) <= shard_images or not isinstance(source.images, Selected):
        shards = [write_shard(path, Part(source.name, source.images, source.split), shape, content, on_images)]
        starts = [0]
    else:
        tasks = _Tasks(path, source, shape or _shape_of(source), shard_images, work or path.parent)
        shards, starts = _write_shards(tasks, content, on_images, run), list(range(0, len(source), shard_images))
    rejected = [(start + row, why) for start, some in zip(starts, shards, strict=True) for row, why in some.rejected]
    _refuse_emptied(source, rejected)
    shape = shards[0].shape
    if shape is None:
        raise DataError(source.name, got="no readable image", expected="at least one")
    kept = np.ones(len(source), np.bool_)
    kept[[row for row, _ in rejected]] = False
    digest = _write_rows(path, source, kept, content, shape)
    sums = np.sum([some.sums for some in shards], axis=0)
    facts: dict[str, Any] = {
        "name": source.name,
        "class_names": list(source.label_space.class_names),
        "multi_label": source.label_space.multi_label,
        "shape": list(shape),
        "decoded": is_decoded(shape),
        "rows_per_batch": rows_per_batch(shape),
        "content_hash": digest,
        "sums": {split: sums[code].tolist() for code, split in enumerate(SPLITS)},
    }
    if len(shards) > 1:
        facts["shards"] = [some.rows for some in shards]
        for number in range(len(shards)):
            made = shard_path((work or path.parent) / path.name, number)
            made.with_suffix(".json").unlink()
            made.replace(shard_path(path, number))
    path.with_suffix(".json").write_text(json.dumps(facts))
    return Written(
        digest,
        shape,
        tuple(Rejected(source.ids[row].as_py(), reason, SPLITS[source.split[row]]) for row, reason in rejected),
    )


def _shape_of(source: ImageSource) -> Shape | None:
    """The shape of the first readable image."""
    parts = chunks(Part(source.name, source.images, source.split))
    return next((shape for _, items in parts if (shape := first_shape(items)) is not None), None)


class _Tasks(Sequence[tuple[Path, Part, Shape | None]]):
    """The shards of a source as tasks, each made when it is asked for: the addresses of all may be gigabytes."""

    def __init__(self, path: Path, source: ImageSource, shape: Shape | None, size: int, work: Path) -> None:
        self._path, self._source, self._shape, self._size = work / path.name, source, shape, size

    def __len__(self) -> int:
        return -(-len(self._source) // self._size)

    @overload
    def __getitem__(self, number: int) -> tuple[Path, Part, Shape | None]: ...
    @overload
    def __getitem__(self, number: slice) -> list[tuple[Path, Part, Shape | None]]: ...
    def __getitem__(self, number: int | slice) -> Any:
        if isinstance(number, slice):
            return [self[some] for some in range(*number.indices(len(self)))]
        if number >= len(self):
            raise IndexError(number)
        rows = slice(number * self._size, (number + 1) * self._size)
        images = self._source.images
        if not isinstance(images, Selected):
            raise TypeError("images that are read in one order alone have no parts")
        part = Part(self._source.name, images.part(rows), self._source.split[rows])
        return shard_path(self._path, number), part, self._shape


def _write_shards(
    tasks: _Tasks, content: hashlib._Hash, on_images: Callable[[int], None], run: Run | None
) -> list[WrittenShard]:
    """Write the shards, here or wherever tasks run, and feed the hash with theirs."""
    if run is None:
        found = [_write_part(*task, on_images) for task in tasks]
    else:
        found = run(_write_part, tasks, lambda number: on_images(len(tasks[number][1].split)))
    for _, digest in found:
        content.update(digest.encode())
    return [shard for shard, _ in found]


def _write_part(
    path: Path, part: Part, shape: Shape | None, on_images: Callable[[int], None] = lambda _: None
) -> tuple[WrittenShard, str]:
    """Write one of several shards, whole or not at all, unless it is there; and the hash of its images.

    A function of its arguments alone: who runs it, and how often, changes no byte.
    """
    noted = path.with_suffix(".json")
    if noted.exists():
        on_images(len(part.split))
        return _read_note(noted)
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    content = hashlib.sha256()
    try:
        written = write_shard(staged, part, shape, content, on_images)
        if staged.exists():
            with staged.open("rb") as file:
                os.fsync(file.fileno())
            staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
    facts = {"rows": written.rows, "shape": written.shape, "sums": written.sums.tolist(), "rejected": written.rejected}
    write_whole(noted, json.dumps(facts | {"content_hash": content.hexdigest()}).encode())
    return written, content.hexdigest()


def _read_note(path: Path) -> tuple[WrittenShard, str]:
    facts = json.loads(path.read_text())
    rejected = tuple((int(row), str(why)) for row, why in facts["rejected"])
    shape = None if facts["shape"] is None else (facts["shape"][0], facts["shape"][1], facts["shape"][2])
    return WrittenShard(facts["rows"], shape, np.array(facts["sums"], np.int64), rejected), facts["content_hash"]


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
