"""A user's own vectors: Parquet, .npy or .npz of vectors, ids, labels and splits -> a feature table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from csrms_dist.artefacts.files import NpyWriter
from csrms_dist.basics.arrays import F32, U8, Bools
from csrms_dist.basics.arrow import is_list, plain
from csrms_dist.basics.hashing import Texts, repeated_ids, text_at
from csrms_dist.basics.parquet import texts_of
from csrms_dist.datasets.image_source import SPLITS, TRAIN, UNLABELLED
from csrms_dist.datasets.label_column import COLUMNS, LabelColumn
from csrms_dist.datasets.splits import split_of
from csrms_dist.errors import DataError
from csrms_dist.features.feature_table import FeatureTable
from csrms_dist.features.settings import READABLE, FeaturesSettings
from csrms_dist.features.vector_column import first_misfit, holds_numbers
from csrms_dist.features.vector_files import SUFFIXES, Columns, open_columns
from csrms_dist.labels import LabelRows, LabelSpace, Membership, checked_labels, membership_from_csr

URI = "uri"
_ROWS = 4096  # of the user's file in memory at once


def read_vectors(
    path: str | Path, folder: Path | None = None, settings: FeaturesSettings | None = None
) -> FeatureTable:
    """Import a user's `vector`s with, where they are there, `id`, `split`, and `label` or `labels` (`labels` wins).

    settings: the names of the columns, and the table of the rows of a .npy; `path` is not read from it. With `folder`
    the vectors go to its vectors.npy while the file is read, a few thousand rows at a time, and are memory-mapped from
    there; `save_divided` to the same folder adds the rest. A .npz is read whole.

    Without ids the rows are numbered, except in Parquet, which needs them. Labels are class indices or names, or 0/1
    vectors. A row without a label (null, NaN, -1) is of the split unlabelled; where no row has any, the table has no
    labels, and unlabelled rows are rows of training. The file's metadata (`label_space`: JSON with `class_names`; or
    Hugging Face's) or the column `class_name` (beside `label`) names the classes; otherwise their index does.

    A column `uri` goes into the graph.

    Raises DataError for a missing file or column, repeated ids, vectors of unequal width, values that float32 cannot
    hold, labels and splits that are none, naming the row, and a table without a training row.
    """
    with closing(_opened(path, settings)) as reader:
        return reader.table(folder)


@dataclass(frozen=True)
class VectorFacts:
    """The size of a user's file of vectors. labels: how many in all rows. id_bytes: of the first id.

    held_out: rows that are not of the split train. n_classes: None without labels.
    """

    rows: int
    held_out: int
    dimension: int
    id_bytes: float
    labels: int
    n_classes: int | None


def vector_facts(path: str | Path, settings: FeaturesSettings | None = None) -> VectorFacts:
    """Count a user's file of vectors without reading them. Raises DataError when it is none."""
    with closing(_opened(path, settings)) as reader:
        return reader.facts()


def _opened(path: str | Path, settings: FeaturesSettings | None) -> _Reader:
    settings = replace(settings or FeaturesSettings(), path=str(path))
    settings.check_paths()
    rows_path = Path(settings.rows_path) if settings.rows_path else None
    return _Reader(Path(path), open_columns(Path(path), rows_path, settings.vector_column, READABLE), settings)


class _Reader:
    """Reads one column after the other, block by block."""

    def __init__(self, path: Path, file: Columns, settings: FeaturesSettings) -> None:
        self.path, self.file, self.schema, self.n = path, file, file.schema, file.n_rows
        self.id, self.vector = settings.id_column, settings.vector_column
        names = self.schema.names
        self.split = settings.split_column if settings.split_column in names else ""
        needed = [self.vector] if path.suffix.lower() in SUFFIXES and self.id == "id" else [self.id, self.vector]
        for key, name in (("id_column", self.id), ("vector_column", self.vector)):
            if name in needed and name not in names:
                raise DataError(
                    f"{file.path}", got=f"the columns {', '.join(names)}", expected=f"a column '{name}'",
                    remedy=f"rename it or set features.{key}",
                )  # fmt: skip
        if settings.split_column != "split" and not self.split:
            raise self._lacks(settings.split_column, "split_column")
        self.labels = self._label_column(settings.label_column)

    def _lacks(self, name: str, key: str) -> DataError:
        got = f"the columns {', '.join(self.schema.names)}"
        return DataError(f"{self.file.path}", got=got, expected=f"a column '{name}'", remedy=f"set features.{key}")

    def _label_column(self, wanted: str) -> LabelColumn | None:
        names = self.schema.names
        if wanted not in ("auto", "none"):
            if wanted not in names:
                raise self._lacks(wanted, "label_column")
            return LabelColumn("labels" if is_list(self.schema.field(wanted).type) else "label", wanted)
        name = next((name for name in COLUMNS if name in names), None)
        return None if wanted == "none" or name is None else LabelColumn(name)

    def close(self) -> None:
        self.file.close()

    def table(self, folder: Path | None) -> FeatureTable:
        with ExitStack() as stack:
            spool = None if folder is None else stack.enter_context((folder / ".ids").open("w+b"))
            if folder is not None:
                stack.callback((folder / ".ids").unlink)  # what is mapped stays readable
            ids = self._ids(spool)
            vectors = self._vectors(ids, folder)
            space, membership, split = self._labels_and_splits(ids)
        part = np.zeros(self.n, np.int32)
        instance = np.arange(self.n, dtype=np.int64)
        given = None if (split == TRAIN).all() else split
        return FeatureTable(vectors, instance, part, ids, membership, space, given, self._uris())

    def _uris(self) -> pa.Array | None:
        """The column `uri`, where the user has one: a row without is ''."""
        if URI not in self.schema.names:
            return None
        blocks = (texts_of(self.file.path, URI, batch.column(0), first) for first, batch in self._batches(URI))
        return pa.concat_arrays([pc.fill_null(block, "").cast(pa.string()) for block in blocks])

    def facts(self) -> VectorFacts:
        vectors = next(self._batches(self.vector), None)
        if not self.n or vectors is None:
            raise self._no_rows()
        self._check_kind()
        width = plain(vectors[1].column(0).slice(0, 1)).value_lengths()[0].as_py() or 0
        _, ids = next(self._id_blocks())
        # Sentences name the rows by their numbers: the ids are not read.
        space, membership, split = self._labels_and_splits(_Numbers(self.n))
        return VectorFacts(
            rows=self.n,
            held_out=int((split != TRAIN).sum()),
            dimension=int(width),
            id_bytes=float(len(str(ids[0].as_py()))),
            labels=0 if membership is None else int(membership.nnz),
            n_classes=None if space is None else space.n_classes,
        )

    def _labels_and_splits(self, ids: Texts) -> tuple[LabelSpace | None, Membership | None, U8]:
        space, membership, missing = self._labels(ids)
        split = self._splits(ids)
        if space is None:
            split[split == UNLABELLED] = TRAIN  # so are all
        else:
            split[missing] = UNLABELLED
        self._check_split(ids, split, membership)
        return space, membership, split

    @property
    def _has_ids(self) -> bool:
        return self.id in self.schema.names

    def _no_rows(self) -> DataError:
        return DataError(str(self.path), got="no rows", expected="at least one row")

    def _batches(self, *columns: str) -> Iterator[tuple[int, pa.RecordBatch]]:
        """(first row, record batch) of some columns."""
        return self.file.batches(_ROWS, columns)

    def _ids(self, spool: IO[bytes] | None) -> pa.Array:
        """The ids as one Arrow array, their text in the file `spool` or in memory."""
        text: list[bytes] = []
        write: Callable[[bytes], Any] = text.append if spool is None else spool.write
        offsets = np.zeros(self.n + 1, np.int64)
        for first, block in self._id_blocks():
            if block.null_count:
                row = first + block.is_null().to_pylist().index(True)
                raise DataError(str(self.file.path), got=f"no id in row {row}", expected="an id in every row")
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
            raise self._no_rows()
        return ids

    def _id_blocks(self) -> Iterator[tuple[int, pa.Array]]:
        """(first row, ids as large_string): the user's, or the numbers of the rows."""
        if self._has_ids:
            for first, batch in self._batches(self.id):
                yield first, texts_of(self.file.path, self.id, batch.column(0), first)
        else:
            for first in range(0, self.n, _ROWS):
                yield first, pa.array(range(first, min(first + _ROWS, self.n))).cast(pa.large_string())

    def _check_kind(self) -> None:
        kind = self.schema.field(self.vector).type
        if not holds_numbers(kind):
            if self.path.suffix.lower() in SUFFIXES:
                matrix = pa.types.is_fixed_size_list(kind)
                got = f"a matrix of {kind.value_type}" if matrix else f"an array of shape ({self.n},)"
                expected = "a matrix (N, D) of numbers, a vector a row"
                raise DataError(f"{self.path}: {self.vector}", got=got, expected=expected)
            raise DataError(f"{self.path}: column {self.vector}", got=str(kind), expected="lists of numbers")

    def _vectors(self, ids: Texts, folder: Path | None) -> F32:
        self._check_kind()
        matrix = np.zeros((0, 0), np.float32)
        writer: NpyWriter | None = None
        width, bad, example = 0, 0, ("", "")
        with ExitStack() as stack:
            for first, batch in self._batches(self.vector):
                # `safe` would refuse whole numbers above 2^24.
                array = plain(batch.column(0)).cast(pa.large_list(pa.float32()), safe=False)
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
        """The classes, (N, K) labels, and (N,) which rows have no label; None, None where no row has any."""
        column, path = self.labels, str(self.file.path)
        if column is None:
            return None, None, np.ones(self.n, np.bool_)
        column.learn(self.schema.metadata)
        blocks = self._batches(*column.columns(self.schema.names))
        found = LabelRows.joined([column.read(batch, path, _RowName(ids, first)) for first, batch in blocks])
        found = column.final(found, path)
        rows = checked_labels(
            path, ids, found.offsets, found.indices, found.unlabelled, column.multi_label, column.n_known
        )
        if rows.unlabelled.all():
            return None, None, rows.unlabelled
        n_classes = column.n_known or column.n_classes or 1 + int(rows.indices.max(initial=-1))
        if n_classes == 0:
            raise DataError(
                f"{path}: column {column.name}", got="no label at all", expected="at least one class",
                remedy="drop the column",
            )  # fmt: skip
        space = LabelSpace(tuple(column.names.get(k, str(k)) for k in range(n_classes)), column.multi_label)
        return space, membership_from_csr(rows.offsets, rows.indices, n_classes), rows.unlabelled

    def _splits(self, ids: Texts) -> U8:
        """(N,) what the column of splits says, index into SPLITS; without one, train."""
        codes = np.full(self.n, TRAIN, np.uint8)
        for first, batch in self._batches(self.split) if self.split else ():
            words = texts_of(self.file.path, self.split, batch.column(0), first).dictionary_encode()
            known = [split_of(word) or word.lower() for word in words.dictionary.to_pylist()]
            places = [SPLITS.index(word) if word in SPLITS else len(SPLITS) for word in known]
            indices = words.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
            found = np.array([*places, len(SPLITS)], np.uint8)[indices]
            if (found == len(SPLITS)).any():
                row = int(np.argmax(found == len(SPLITS)))
                word = batch.column(0)[row].as_py()
                raise DataError(
                    f"{self.file.path}: split of '{text_at(ids, first + row)}'",
                    got="nothing" if word is None else f"'{word}'",
                    expected=f"one of {', '.join(SPLITS)}", remedy="correct it",
                )  # fmt: skip
            codes[first : first + len(batch)] = found
        return codes

    def _check_split(self, ids: Texts, split: U8, membership: Membership | None) -> None:
        """Raise DataError without a training row, and for a label in a row of the split unlabelled."""
        if not (split == TRAIN).any():
            raise DataError(
                str(self.path), got="no row of the split train", expected="rows to learn the patterns from",
                remedy="label some rows, or leave all labels out",
            )  # fmt: skip
        if membership is None:
            return
        told = np.flatnonzero((split == UNLABELLED) & (np.diff(membership.indptr) > 0))
        if len(told):
            raise DataError(
                f"{self.path}: split of '{text_at(ids, int(told[0]))}'", got="unlabelled, and a label",
                expected="one of them", remedy="correct the split, or leave the label out",
            )  # fmt: skip


class _Numbers(Sequence[str]):
    """The numbers of N rows as texts, none of which is made before it is asked for."""

    def __init__(self, n: int) -> None:
        self._n = n

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        found = range(self._n)[place]
        return str(found) if isinstance(found, int) else [str(row) for row in found]


@dataclass(frozen=True)
class _RowName:
    """How sentences name a row of the block that begins at `first`."""

    ids: Texts
    first: int

    def __call__(self, row: int) -> str:
        return f"'{text_at(self.ids, self.first + row)}'"
