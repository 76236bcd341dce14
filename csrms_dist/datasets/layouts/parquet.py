"""Parquet: `image` (encoded bytes, or Hugging Face's {'bytes': ...}), `id`, and `label` or `labels`.

A folder holds train*.parquet, test*.parquet and, if there are any, val*.parquet; a single file goes with
`data.test_path` or `data.test_fraction`. `label` is a class index (named by `class_name`, if that is there) or a text;
`labels` is a list of class indices (named by `tags`, where each row has as many) or of texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.arrow import is_list
from csrms_dist.datasets.decoding import Stored
from csrms_dist.datasets.layouts.class_names import ClassNames
from csrms_dist.datasets.layouts.layout_format import ALL, Found, LayoutFormat, Rows
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.errors import DataError

ROWS_READ = 65536
IMAGES_READ = 256
BYTES_READ = 1 << 25


def files_of(settings: DataSettings) -> dict[str, list[Path]]:
    """The Parquet files of each side."""
    path = Path(settings.path)
    sides: dict[str, list[Path]] = {}
    if path.is_dir():
        sides = {side: sorted(path.glob(f"{side}*.parquet")) for side in ("train", "val", "test")}
        sides = {side: files for side, files in sides.items() if files}
        if "train" not in sides:
            raise DataError(
                f"{path}", got="no train*.parquet in it", expected="train*.parquet and test*.parquet",
                remedy="rename the files or give one file as data.path",
            )  # fmt: skip
    elif path.is_file():
        sides = {"train": [path]}
    else:
        raise DataError("data.path", got=f"{path}, which is not there", expected="a Parquet file or a folder of them")
    if settings.test_path:
        test = Path(settings.test_path)
        sides["test"] = sorted(test.glob("*.parquet")) if test.is_dir() else [test]
        if not sides["test"] or not sides["test"][0].is_file():
            raise DataError(
                "data.test_path", got=f"{test}, where none is", expected="a Parquet file or a folder of them"
            )
    if "test" not in sides:
        if "val" in sides:
            raise DataError(f"{path}", got="val*.parquet without test*.parquet", expected="test images beside them")
        return {ALL: sides["train"]}
    return sides


def find(settings: DataSettings) -> Found:
    """Read ids and labels of every file; images are read when they are asked for."""
    sides = files_of(settings)
    opened = {side: [_open(file) for file in files] for side, files in sides.items()}
    column = _label_column(opened, settings.label_column)
    labels = _Labels(column)
    rows = {
        side: _rows(side, sides[side], files, labels) for side, files in opened.items()
    }  # fmt: skip
    if labels.text:
        rows = {side: Rows(r.ids, r.offsets, labels.text.final(r.labels), r.images) for side, r in rows.items()}
    name = Path(settings.path).resolve()
    return Found(name.stem if name.is_file() else name.name, rows, column == "labels", labels.names)


def _open(path: Path) -> pq.ParquetFile:
    try:
        # Mapped: a row group of any size costs pages of the file, not memory of its own.
        file = pq.ParquetFile(path, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        got = f"'{error.strerror}'" if isinstance(error, OSError) and error.strerror else "a file that is no Parquet"
        raise DataError(f"{path}", got=got, expected="a Parquet file of image and label or labels") from error
    names = file.schema_arrow.names
    if "image" not in names:
        raise DataError(
            f"{path}", got=f"the columns {', '.join(names)}", expected="a column 'image' of encoded bytes",
            remedy="rename it",
        )  # fmt: skip
    kind = file.schema_arrow.field("image").type
    encoded = kind.field("bytes").type if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 else kind
    if not (pa.types.is_binary(encoded) or pa.types.is_large_binary(encoded)):
        raise DataError(f"{path}: column image", got=str(kind), expected="encoded bytes, such as those of a PNG file")
    return file


def _label_column(opened: Mapping[str, Sequence[pq.ParquetFile]], wanted: str) -> str:
    """The one column that holds the labels in every file."""
    candidates = ("labels", "label") if wanted == "auto" else (wanted,)
    files = [file for files in opened.values() for file in files]
    for column in candidates:
        if all(column in file.schema_arrow.names for file in files):
            return column
    expected = " or ".join(f"'{column}'" for column in reversed(candidates))
    names = next(
        file.schema_arrow.names for file in files if not all(column in file.schema_arrow.names for column in candidates)
    )
    raise DataError(
        "the Parquet files of data.path", got=f"the columns {', '.join(names)}",
        expected=f"a column {expected} in every file", remedy="rename it or set data.label_column",
    )  # fmt: skip


@dataclass
class _Labels:
    """The label column of all files: what kind it is, and the names found on the way."""

    column: str
    text: ClassNames | None = None
    whole: bool = False
    names_by_index: dict[int, str] = field(default_factory=dict)
    tags_fit: bool = True

    @property
    def names(self) -> dict[int, str]:
        if self.text:
            return self.text.names
        return self.names_by_index if self.tags_fit else {}

    def columns(self, names: Sequence[str]) -> list[str]:
        beside = {"labels": "tags", "label": "class_name"}[self.column]
        return [self.column, *([beside] if beside in names else [])]

    def read(self, batch: pa.RecordBatch, path: Path, first: int) -> tuple[I64, I64]:
        """A record batch -> (labels in each row, class indices)."""
        array = batch[self.column]
        what = f"{path}: column {self.column}"
        if self.column == "labels":
            if not is_list(array.type):
                raise DataError(what, got=str(array.type), expected="lists of class indices or of texts")
            counts = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
            values = array.flatten()
            if values.null_count:
                row = first + int(np.searchsorted(np.cumsum(counts), values.is_null().to_pylist().index(True), "right"))
                raise DataError(f"{path}: labels of row {row}", got="nothing in the list", expected="class indices")
        else:
            counts = array.is_valid().to_numpy(zero_copy_only=False).astype(np.int64)
            values = array.drop_null()
        return counts, self._indices(values, what, batch, counts, path)

    def _indices(self, values: pa.Array, what: str, batch: pa.RecordBatch, counts: I64, path: Path) -> I64:
        kind = values.type
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
        if not (text or pa.types.is_integer(kind)):
            raise DataError(what, got=str(kind), expected="class indices or texts", remedy="cast it to whole numbers")
        if text == self.whole and (self.whole or self.text):
            raise DataError(what, got=str(kind), expected="the same kind of labels in every file")
        if text:
            self.text = self.text or ClassNames()
            return self.text.codes(values)
        self.whole = True
        indices: I64 = values.cast(pa.int64()).to_numpy(zero_copy_only=False)
        self._learn_names(indices, batch, counts, path)
        return indices

    def _learn_names(self, indices: I64, batch: pa.RecordBatch, counts: I64, path: Path) -> None:
        names = batch.schema.names
        if self.column == "label" and "class_name" in names:
            given = batch["class_name"].filter(batch["label"].is_valid())
        elif self.column == "labels" and "tags" in names and is_list(batch["tags"].type) and self.tags_fit:
            lengths = batch["tags"].value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
            given = batch["tags"].flatten()
            self.tags_fit = bool(np.array_equal(lengths, counts))
        else:
            return
        if not self.tags_fit or not (pa.types.is_string(given.type) or pa.types.is_large_string(given.type)):
            return
        encoded = given.dictionary_encode()
        codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
        for k, code in np.unique(np.stack([indices, codes.astype(np.int64)]), axis=1).T.tolist():
            if code == len(encoded.dictionary):
                continue
            name = encoded.dictionary[code].as_py()
            if self.names_by_index.setdefault(k, name) != name:
                if self.column == "labels":  # `tags` that are words of another kind: the classes stay numbered
                    self.tags_fit = False
                    return
                got = f"'{self.names_by_index[k]}' and '{name}' for class {k}"
                raise DataError(f"{path}: column class_name", got=got, expected="one name a class")


def _rows(side: str, paths: Sequence[Path], files: Sequence[pq.ParquetFile], labels: _Labels) -> Rows:
    ids, counts, indices = [], [], []
    first = 0
    for path, file in zip(paths, files, strict=True):
        names = file.schema_arrow.names
        has_ids = "id" in names
        row = 0
        for batch in file.iter_batches(ROWS_READ, columns=[*(["id"] if has_ids else []), *labels.columns(names)]):
            if has_ids:
                ids.append(_texts(batch["id"], path))
            else:  # numbered over the whole side
                start = first + row
                word = "row" if side == ALL else side
                ids.append(pa.array([f"{word}/{n}" for n in range(start, start + len(batch))], pa.string()))
            found = labels.read(batch, path, row)
            counts.append(found[0])
            indices.append(found[1])
            row += len(batch)
        first += row
    offsets = np.zeros(first + 1, np.int64)
    np.cumsum(np.concatenate(counts) if counts else [], out=offsets[1:])
    reader = _EncodedImages(tuple(paths))
    joined = pa.concat_arrays(ids) if ids else pa.array([], pa.string())
    return Rows(joined, offsets, np.concatenate(indices) if indices else np.zeros(0, np.int64), reader)


def _texts(ids: pa.Array, path: Path) -> pa.StringArray:
    try:
        return ids.cast(pa.string())
    except pa.ArrowException as error:
        raise DataError(f"{path}: column id", got=str(ids.type), expected="text or whole numbers") from error


@dataclass(frozen=True)
class _EncodedImages:
    """Reads the images of ascending rows, counted over all files."""

    paths: tuple[Path, ...]

    def __call__(self, rows: I64) -> Iterator[Stored]:
        first = 0
        for path in self.paths:
            file = _open(path)
            groups = file.metadata.num_row_groups
            for group in range(groups):
                size = file.metadata.row_group(group).num_rows
                low, high = np.searchsorted(rows, [first, first + size])
                if low < high:
                    yield from _images(file, group, rows[low:high] - first)
                first += size


def _images(file: pq.ParquetFile, group: int, rows: I64) -> Iterator[Stored]:
    first = 0
    facts = file.metadata.row_group(group)
    size = max(1, min(IMAGES_READ, BYTES_READ * facts.num_rows // max(facts.total_byte_size, 1)))
    for batch in file.iter_batches(size, row_groups=[group], columns=["image"]):
        low, high = np.searchsorted(rows, [first, first + len(batch)])
        if low < high:
            images = batch["image"].take(pa.array(rows[low:high] - first))
            if pa.types.is_struct(images.type):
                images = images.field("bytes")
            yield from images.to_pylist()
        first += len(batch)


LAYOUT = LayoutFormat(find, lambda settings: chain(*files_of(settings).values()))
