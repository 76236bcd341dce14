"""A user's own vectors: Parquet of id, vector, labels and split -> a feature table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from csrms_dist.artefacts.files import NpyWriter
from csrms_dist.basics.arrays import F32, I32, U8, Bools
from csrms_dist.basics.arrow import is_list
from csrms_dist.basics.hashing import Texts, repeated_ids, text_at
from csrms_dist.datasets.image_source import SPLITS, TRAIN, UNLABELLED
from csrms_dist.errors import DataError
from csrms_dist.features.feature_table import FeatureTable
from csrms_dist.features.vector_column import VECTOR, first_misfit, holds_numbers, open_vectors
from csrms_dist.labels import MAX_CLASSES, LabelSpace, Membership, membership_from_csr

SPLIT = "split"
_ROWS = 4096  # of the user's file in memory at once
_READABLE = "a Parquet file of id and vector"


def read_vectors(path: str | Path, folder: Path | None = None) -> FeatureTable:
    """Import a user's Parquet of `id`, `vector` and, if there are labels, `label` or `labels` (`labels` wins).

    With `folder` the vectors go to its vectors.npy while the file is read, a few thousand rows at a time, and are
    memory-mapped from there; `save_divided` to the same folder adds the rest.

    A column `split` says train, val, test or unlabelled. A row without a label (null, or -1 in `label`) is of the split
    unlabelled; where no row has any, the table has no labels, and unlabelled rows are rows of training.

    `label_space` in the schema's metadata (JSON with `class_names`, as in rows.arrow) or the column `class_name`
    (beside `label`) names the classes; otherwise their index does. Raises DataError for a missing file or column,
    repeated ids, vectors of unequal width, values that float32 cannot hold, labels that are no class index and other
    splits, naming the row, and a table without a training row.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("features.path", got=f"{path}, which is not a file", expected=_READABLE)
    with _readable(path, folder), open_vectors(path, _READABLE, ("id", VECTOR)) as file:
        return _Reader(path, file).table(folder)


@dataclass(frozen=True)
class VectorFacts:
    """The size of a user's file of vectors. labels: how many in all rows. id_bytes: of the first id.

    held_out: rows that are not of the split train. n_classes: one more than the highest class index; None without
    labels.
    """

    rows: int
    held_out: int
    dimension: int
    id_bytes: float
    labels: int
    n_classes: int | None


def vector_facts(path: Path) -> VectorFacts:
    """Count a user's file of vectors without reading them. Raises DataError when it is none."""
    with _readable(path), pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if not {"id", VECTOR} <= set(names):
            got = f"the columns {', '.join(names)}"
            raise DataError(str(path), got=got, expected="the columns id and vector", remedy="rename them")
        first = next(file.iter_batches(1, columns=["id", VECTOR]), None)
        if first is None:
            raise DataError(str(path), got="no rows", expected="at least one row")
        column = _label_column(names)
        count, highest = _count_labels(file, column) if column else (0, -1)
        return VectorFacts(
            rows=int(file.metadata.num_rows),
            held_out=_count_held_out(file, column if highest >= 0 else None),
            dimension=len(first[VECTOR][0].as_py() or ()),
            id_bytes=float(len(str(first["id"][0].as_py()))),
            labels=count,
            n_classes=highest + 1 if highest >= 0 else None,
        )


def _label_column(names: Sequence[str]) -> str | None:
    return next((name for name in ("labels", "label") if name in names), None)


def _count_held_out(file: pq.ParquetFile, label: str | None) -> int:
    """The rows that another split is given for, or that lack the label."""
    columns = [name for name in (SPLIT, label) if name in file.schema_arrow.names]
    count = 0
    for batch in file.iter_batches(columns=columns) if columns else ():
        other = np.zeros(len(batch), np.bool_)
        if SPLIT in columns:
            other |= np.asarray(pc.fill_null(pc.not_equal(batch[SPLIT], SPLITS[TRAIN]), True))
        if label:
            other |= np.asarray(batch[label].is_null())
            if label == "label":
                other |= np.asarray(pc.fill_null(pc.equal(batch[label], -1), True))
        count += int(other.sum())
    return count


def _count_labels(file: pq.ParquetFile, column: str) -> tuple[int, int]:
    """How many labels there are, and the highest; -1: none."""
    count, highest = 0, -1
    if pa.types.is_null(file.schema_arrow.field(column).type):
        return count, highest
    for batch in file.iter_batches(columns=[column]):
        values = pc.list_flatten(batch[column]) if column == "labels" else batch[column]
        if column == "label":
            values = values.filter(pc.not_equal(values, -1))
        count += len(values) - values.null_count
        highest = max(highest, pc.max(values).as_py() if len(values) > values.null_count else -1)
    return count, highest


@contextmanager
def _readable(path: Path, folder: Path | None = None) -> Iterator[None]:
    """Complaints about the file in one sentence; those about the `folder` that is written to pass."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if folder and isinstance(error, OSError) and error.errno is not None and error.filename != str(path):
            raise
        raise DataError(str(path), got=f"'{error}'", expected=_READABLE) from error


class _Reader:
    """Reads one column after the other, block by block."""

    def __init__(self, path: Path, file: pq.ParquetFile) -> None:
        self.path, self.file, self.schema = path, file, file.schema_arrow
        self.n = int(file.metadata.num_rows)

    def table(self, folder: Path | None) -> FeatureTable:
        with ExitStack() as stack:
            spool = None if folder is None else stack.enter_context((folder / ".ids").open("w+b"))
            if folder is not None:
                stack.callback((folder / ".ids").unlink)  # what is mapped stays readable
            ids = self._ids(spool)
            vectors = self._vectors(ids, folder)
            space, membership, missing = self._labels(ids)
            split = self._split(ids)
        if space is None and split is not None:
            split[split == UNLABELLED] = TRAIN  # so are all
        if space is not None and missing.any():
            split = np.full(self.n, TRAIN, np.uint8) if split is None else split
            split[missing] = UNLABELLED
        self._check_split(ids, split, membership)
        part = np.zeros(self.n, np.int32)
        return FeatureTable(vectors, np.arange(self.n, dtype=np.int64), part, ids, membership, space, split)

    def _split(self, ids: Texts) -> U8 | None:
        """The column `split` as codes; None without one."""
        if SPLIT not in self.schema.names:
            return None
        codes = np.zeros(self.n, np.uint8)
        for first, batch in self._batches(SPLIT):
            words = batch.column(0)
            if not (pa.types.is_string(words.type) or pa.types.is_large_string(words.type)):
                raise DataError(f"{self.path}: column split", got=str(words.type), expected=", ".join(SPLITS))
            found = pc.index_in(words.cast(pa.string()), pa.array(SPLITS))
            if found.null_count:
                row = int(np.argmax(np.asarray(found.is_null())))
                word = words[row].as_py()
                raise DataError(
                    f"{self.path}: split of '{text_at(ids, first + row)}'", got=f"'{word}'" if word else "nothing",
                    expected=f"one of {', '.join(SPLITS)}", remedy="correct it",
                )  # fmt: skip
            codes[first : first + len(batch)] = found.to_numpy()
        return codes

    def _check_split(self, ids: Texts, split: U8 | None, membership: Membership | None) -> None:
        """Raise DataError without a training row, and for a label in a row of the split unlabelled."""
        if split is None:
            return
        if not (split == TRAIN).any():
            raise DataError(
                str(self.path), got="no row of the split train", expected="rows to learn the patterns from",
                remedy="label some rows, or leave all labels out",
            )  # fmt: skip
        if membership is not None:
            told = np.flatnonzero((split == UNLABELLED) & (np.diff(membership.indptr) > 0))
            if len(told):
                raise DataError(
                    f"{self.path}: split of '{text_at(ids, int(told[0]))}'", got="unlabelled, and a label",
                    expected="one of them", remedy="correct the split, or leave the label out",
                )  # fmt: skip

    def _batches(self, *columns: str) -> Iterator[tuple[int, pa.RecordBatch]]:
        """(first row, record batch) of some columns."""
        first = 0
        with closing(self.file.iter_batches(_ROWS, columns=list(columns), use_threads=False)) as batches:
            for batch in batches:
                yield first, batch
                first += len(batch)

    def _ids(self, spool: IO[bytes] | None) -> pa.Array:
        """The ids as one Arrow array, their text in the file `spool` or in memory."""
        text: list[bytes] = []
        write: Callable[[bytes], Any] = text.append if spool is None else spool.write
        offsets = np.zeros(self.n + 1, np.int64)
        for first, batch in self._batches("id"):
            try:
                block = batch.column(0).cast(pa.large_string())
            except pa.ArrowException as error:
                got, expected = str(self.schema.field("id").type), "text or whole numbers"
                raise DataError(f"{self.path}: column id", got=got, expected=expected) from error
            if block.null_count:
                row = first + block.is_null().to_pylist().index(True)
                raise DataError(str(self.path), got=f"no id in row {row}", expected="an id in every row")
            ends = np.frombuffer(block.buffers()[1], np.int64)[block.offset : block.offset + len(block) + 1]
            if len(block) and block.buffers()[2] is not None:
                write(block.buffers()[2][int(ends[0]) : int(ends[-1])].to_pybytes())
            offsets[first + 1 : first + 1 + len(block)] = offsets[first] + (ends[1:] - ends[0])
        kind, width = (pa.string(), np.int32) if offsets[-1] < 2**31 else (pa.large_string(), np.int64)
        if spool is None or not offsets[-1]:
            data = pa.py_buffer(b"".join(text))
        else:
            spool.flush()
            data = pa.py_buffer(np.memmap(spool, np.uint8, "r"))
        ids = pa.Array.from_buffers(kind, self.n, [None, pa.py_buffer(offsets.astype(width)), data])
        if pairs := repeated_ids(ids):
            repeated = text_at(ids, pairs[0][1])
            got = f"the id '{repeated}' {pc.sum(pc.equal(ids, repeated)).as_py()} times"
            raise DataError(str(self.path), got=got, expected="every id once", remedy="make the ids unique")
        if not self.n:
            raise DataError(str(self.path), got="no rows", expected="at least one row")
        return ids

    def _vectors(self, ids: Texts, folder: Path | None) -> F32:
        kind = self.schema.field(VECTOR).type
        if not holds_numbers(kind):
            raise DataError(f"{self.path}: column vector", got=str(kind), expected="lists of numbers")
        matrix = np.zeros((0, 0), np.float32)
        writer: NpyWriter | None = None
        width, bad, example = 0, 0, ("", "")
        with ExitStack() as stack:
            for first, batch in self._batches(VECTOR):
                # Large lists, because 32-bit offsets end at 2^31 numbers; `safe` would refuse whole numbers above 2^24.
                array = batch.column(0).cast(pa.large_list(pa.float32()), safe=False)
                if not first:
                    width = int(array.value_lengths()[0].as_py() or 0)
                self._check_widths(array, width, ids, first)
                block = array.flatten().to_numpy(zero_copy_only=False).reshape(len(array), width)
                finite = np.isfinite(block).all(axis=1)
                if not finite.all() and not bad:
                    row = int(np.flatnonzero(~finite)[0])
                    example = text_at(ids, first + row), str(block[row][~np.isfinite(block[row])][0])
                bad += int((~finite).sum())
                if not first and folder is None:
                    matrix = np.empty((self.n, width), np.float32)
                elif not first and folder is not None:
                    writer = stack.enter_context(NpyWriter(folder / "vectors.npy", np.float32, (self.n, width)))
                if writer is None:
                    matrix[first : first + len(block)] = block
                else:
                    writer.put(first, block)
        if bad:
            raise DataError(
                f"{self.path}: vector of '{example[0]}'", got=example[1], expected="finite float32 numbers",
                remedy=f"remove or repair it ({bad} such rows)",
            )  # fmt: skip
        return matrix if folder is None else np.load(folder / "vectors.npy", mmap_mode="r")

    def _check_widths(self, array: pa.LargeListArray, width: int, ids: Texts, first: int) -> None:
        misfit = first_misfit(array, width)
        if not width and (misfit is None or misfit[1] is not None):
            misfit = 0, 0
        if misfit is None:
            return
        row, length = misfit
        what = f"{self.path}: vector of '{text_at(ids, first + row)}'"
        if length is None:
            raise DataError(what, got="nothing", expected="a list of numbers")
        raise DataError(
            what, got=f"{length} numbers", expected=f"{width} as in the first row" if width else "at least one",
            remedy="give every row the same width",
        )  # fmt: skip

    def _labels(self, ids: Texts) -> tuple[LabelSpace | None, Membership | None, Bools]:
        """The classes, (N, K) labels and (N,) whether a row has none at all; None, None where no row has any."""
        column, missing = _label_column(self.schema.names), np.zeros(self.n, np.bool_)
        if column is None or pa.types.is_null(self.schema.field(column).type):
            return None, None, ~missing
        what, multi_label, kind = f"{self.path}: column {column}", column == "labels", self.schema.field(column).type
        if multi_label != is_list(kind) or not pa.types.is_integer(kind.value_type if multi_label else kind):
            expected = "lists of class indices" if multi_label else "class indices (names go into class_name)"
            raise DataError(what, got=str(kind), expected=expected, remedy="cast it to whole numbers from 0")
        indptr = np.arange(self.n + 1, dtype=np.int64)
        parts: list[I32] = []
        for first, batch in self._batches(column):
            values = batch.column(0)
            nothing = np.zeros(len(values), np.bool_)
            absent = np.asarray(values.is_null())
            if multi_label:
                lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
                owner = np.repeat(np.arange(len(values)), lengths)
                values = values.flatten()
                nothing[owner[np.asarray(values.is_null())]] = True
            else:
                absent = absent | np.asarray(pc.fill_null(pc.equal(values, -1), False))
                owner = np.flatnonzero(~absent)
                lengths, values = (~absent).astype(np.int64), values.filter(pa.array(~absent))
            missing[first : first + len(absent)] = absent
            if nothing.any():
                name = text_at(ids, first + int(np.argmax(nothing)))
                raise DataError(
                    f"{self.path}: {column} of '{name}'", got="nothing", expected="a label", remedy="fill it in"
                )
            classes = values.to_numpy(zero_copy_only=False)
            outside = (classes < 0) | (classes >= MAX_CLASSES)
            if outside.any():
                row = int(owner[np.argmax(outside)])
                raise DataError(
                    f"{self.path}: {column} of '{text_at(ids, first + row)}'", got=str(classes[owner == row].tolist()),
                    expected=f"class indices in 0..{MAX_CLASSES - 1}", remedy="number the classes",
                )  # fmt: skip
            indptr[first + 1 : first + 1 + len(lengths)] = indptr[first] + np.cumsum(lengths)
            parts.append(classes.astype(np.int32))
        indices = np.concatenate(parts)
        n_classes = 1 + int(indices.max(initial=-1))
        if missing.all():
            return None, None, missing
        if n_classes == 0:
            raise DataError(what, got="no label at all", expected="at least one class", remedy="drop the column")
        space = LabelSpace(self._class_names(n_classes), multi_label)
        unnamed = np.flatnonzero(indices >= space.n_classes)
        if len(unnamed):
            row = int(np.searchsorted(indptr, unnamed[0], side="right")) - 1
            raise DataError(
                f"label of {text_at(ids, row)}", got=str(indices[unnamed[0]]),
                expected=f"a class index in 0..{space.n_classes - 1}",
                remedy="correct the label or the list of classes",
            )  # fmt: skip
        return space, membership_from_csr(indptr, indices, space.n_classes), missing

    def _class_names(self, n_classes: int) -> tuple[str, ...]:
        if stored := (self.schema.metadata or {}).get(b"label_space"):
            return tuple(json.loads(stored)["class_names"])
        found: dict[int, str] = {}
        if "class_name" in self.schema.names and "labels" not in self.schema.names:
            for _, batch in self._batches("label", "class_name"):
                pairs = pa.Table.from_batches([batch]).group_by(batch.schema.names, use_threads=False).aggregate([])
                for k, name in zip(pairs["label"].to_pylist(), pairs["class_name"].to_pylist(), strict=True):
                    if k is not None and name is not None and found.setdefault(k, str(name)) != str(name):
                        got = f"'{found[k]}' and '{name}' for class {k}"
                        raise DataError(f"{self.path}: column class_name", got=got, expected="one name a class")
        return tuple(found.get(k, str(k)) for k in range(n_classes))
