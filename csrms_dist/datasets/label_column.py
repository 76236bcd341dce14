"""A column of labels, whoever wrote it -> class indices: texts, whole numbers, lists of either, 0/1 vectors.

`label` holds a class index or the name of a class, `labels` a list of them or a 0/1 vector with a place for each class.
Null, NaN and -1 stand for no label.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from csrms_dist.basics.arrays import I64, Bools
from csrms_dist.basics.arrow import as_text, is_bytes, is_list, is_text, plain, stored_type
from csrms_dist.datasets.layouts.class_names import ClassNames
from csrms_dist.errors import DataError
from csrms_dist.labels import LabelRows

COLUMNS = ("labels", "label")
_BESIDE = {"labels": "tags", "label": "class_name"}
_INDEX = "class indices or texts"


def names_in_metadata(column: str, metadata: dict[bytes, bytes] | None) -> dict[int, str]:
    """The classes' names that Hugging Face (ClassLabel) or a feature table leaves in a file's metadata."""
    found = metadata or {}
    try:
        table = json.loads(found.get(b"label_space", b"{}"))
        feature = json.loads(found.get(b"huggingface", b"{}"))
        names = table.get("class_names") or _class_label(feature["info"]["features"][column] if feature else {})
    except (ValueError, TypeError, KeyError, AttributeError):  # somebody else's metadata
        return {}
    return dict(enumerate(map(str, names)))


def _class_label(feature: Any) -> list[str]:
    """`names` of a ClassLabel, alone or within a Sequence or List."""
    if isinstance(feature, list) and len(feature) == 1:
        return _class_label(feature[0])
    if not isinstance(feature, dict):
        return []
    return list(feature["names"]) if "names" in feature else _class_label(feature.get("feature"))


class LabelColumn:
    """The labels of all files of a data set, read batch by batch.

    column: 'label' or 'labels', what the values mean; `name` is what the files call it.
    """

    def __init__(self, column: str, name: str = "") -> None:
        self.column, self.name = column, name or column
        self.multi_label = column == "labels"
        self._kind = ""
        self._text = ClassNames()
        self._known: dict[int, str] = {}
        self._names: dict[int, str] = {}
        self._tags_fit = True
        self._width = 0
        """Numbers of each list so far while all of them may be 0/1 vectors; -1: they are not."""
        self._bools = False

    def columns(self, names: Sequence[str]) -> list[str]:
        """Which of a file's columns are read."""
        beside = _BESIDE[self.column]
        return [self.name, *([beside] if beside in names and beside != self.name else [])]

    def learn(self, metadata: dict[bytes, bytes] | None) -> None:
        """Take the classes' names from a file's metadata."""
        self._known = names_in_metadata(self.name, metadata) or self._known

    def read(self, batch: pa.RecordBatch, file: str, row_name: Callable[[int], str]) -> LabelRows:
        """The labels of a record batch; the indices of texts and of 0/1 vectors are final after `final`.

        row_name: a row of the batch as sentences name it. Raises DataError, naming file, column or row.
        """
        what = f"{file}: column {self.name}"
        array = batch[self.name]
        if pa.types.is_null(array.type):
            n = len(array)
            return LabelRows(np.zeros(n + 1, np.int64), np.zeros(0, np.int64), np.ones(n, np.bool_))
        if self.multi_label != is_list(array.type):
            expected = "lists of class indices or of texts" if self.multi_label else _INDEX
            remedy = "" if self.multi_label else "call the column labels if an image may have several"
            raise DataError(what, got=str(array.type), expected=expected, remedy=remedy)
        array = plain(array)
        if self.multi_label:
            counts = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
            missing, values = array.is_null().to_numpy(zero_copy_only=False), array.flatten()
            if (nothing := _nothing(values)).any():
                row = int(np.searchsorted(np.cumsum(counts), int(np.argmax(nothing)), "right"))
                raise DataError(f"{file}: {self.name} of {row_name(row)}", got="nothing in the list", expected=_INDEX)
        else:
            missing = _nothing(array)
            counts, values = (~missing).astype(np.int64), array.filter(pa.array(~missing))
        kind = stored_type(batch[self.name].type)
        kind = stored_type(kind.value_type) if self.multi_label else kind
        indices: npt.NDArray[np.integer[Any]] = self._indices(values, kind, what)
        if self.multi_label:
            alone = counts == 1
            alone[alone] = indices[(np.cumsum(counts) - 1)[alone]] == -1
            if self._kind == "whole" and alone.any():
                indices, missing = indices[~np.repeat(alone, counts)], missing | alone
                counts = np.where(alone, 0, counts)
            self._learn_width(indices, counts[~missing])
        if self._kind == "whole":
            self._learn_names(indices, batch, counts, ~missing, file)
        if self._width > 0:
            indices = indices.astype(np.uint8)  # 0 and 1 alone
        elif len(indices) and abs(indices).max() <= np.iinfo(np.int32).max:
            indices = indices.astype(np.int32)
        return LabelRows(np.concatenate([[0], np.cumsum(counts)]), indices, missing)

    def _indices(self, values: pa.Array, kind: pa.DataType, what: str) -> I64:
        text = is_text(kind) or is_bytes(kind)
        self._bools |= pa.types.is_boolean(kind)
        numbers = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        if not (text or numbers or pa.types.is_null(kind) or (pa.types.is_boolean(kind) and self.multi_label)):
            raise DataError(what, got=str(kind), expected=_INDEX, remedy="cast it to whole numbers")
        if not len(values):
            return np.zeros(0, np.int64)
        if self._kind not in ("", "text" if text else "whole"):
            raise DataError(what, got=str(kind), expected="the same kind of labels in every file")
        self._kind = "text" if text else "whole"
        try:
            if text:
                return self._text.codes(as_text(values))
            indices: I64 = values.cast(pa.int64()).to_numpy(zero_copy_only=False).astype(np.int64)
            return indices
        except pa.ArrowException as error:
            got = "bytes that are no UTF-8" if text else f"{_no_index(values)} among {kind}"
            raise DataError(what, got=got, expected=_INDEX, remedy="cast it to whole numbers") from error

    def _learn_width(self, indices: npt.NDArray[np.integer[Any]], counts: I64) -> None:
        """Whether all lists have one length and hold 0 and 1 alone, as far as we have read."""
        if self._width < 0 or not len(counts):
            return
        width = self._width or int(counts[0])
        fits = (
            self._kind == "whole" and width > 1 and (counts == width).all() and ((indices == 0) | (indices == 1)).all()
        )
        self._width = width if fits else -1

    def _learn_names(
        self, indices: npt.NDArray[np.integer[Any]], batch: pa.RecordBatch, counts: I64, labelled: Bools, file: str
    ) -> None:
        beside = _BESIDE[self.column]
        if beside not in batch.schema.names or beside == self.name or not self._tags_fit:
            return
        if is_list(batch.schema.field(beside).type) != self.multi_label:
            return
        given = plain(batch[beside]).filter(pa.array(labelled))
        if self.multi_label:
            lengths = given.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
            given, self._tags_fit = given.flatten(), bool(np.array_equal(lengths, counts[labelled]))
        if not self._tags_fit or not is_text(given.type):
            return
        encoded = given.dictionary_encode()
        codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
        words = encoded.dictionary.to_pylist()
        for k, code in np.unique(np.stack([indices, codes.astype(np.int64)]), axis=1).T.tolist():
            if code == len(words) or k < 0:
                continue
            name = words[code]
            if self._names.setdefault(k, name) != name:
                if self.multi_label:  # `tags` that are words of another kind: the classes stay numbered
                    self._tags_fit = False
                    return
                got = f"'{self._names[k]}' and '{name}' for class {k}"
                raise DataError(f"{file}: column {beside}", got=got, expected="one name a class")

    @property
    def is_vector(self) -> bool:
        """Whether every list is a 0/1 vector: all of one length above 1, of 0 and 1 alone."""
        return self._width > 1

    @property
    def n_classes(self) -> int:
        """How many classes the column itself tells of; 0: as many as the highest index says."""
        return len(self._text.names) if self._kind == "text" else self._width if self.is_vector else 0

    @property
    def n_known(self) -> int:
        """How many classes the metadata name, with or without a row; 0: they name none."""
        return len(self._known)

    @property
    def names(self) -> dict[int, str]:
        """The classes' names by final index, of those that have one."""
        if self._kind == "text":
            return self._text.names
        return self._known | (self._names if self._tags_fit else {})

    @property
    def notes(self) -> list[str]:
        """What the user should know about how the column was read."""
        return [f"the lists of {self.name} are read as 0/1 vectors of {self._width} classes"] if self.is_vector else []

    def final(self, rows: LabelRows, what: str) -> LabelRows:
        """The labels of some rows with their final indices, after everything was read."""
        if self._bools and not self.is_vector:
            raise DataError(f"{what}: column {self.name}", got="lists of bool", expected="0/1 vectors of one length")
        if self._kind == "text":
            return LabelRows(rows.offsets, self._text.final(rows.indices.astype(np.int64, copy=False)), rows.unlabelled)
        if not self.is_vector:
            return rows
        ones = np.flatnonzero(rows.indices)
        ends = np.concatenate([[0], np.cumsum(rows.indices, dtype=np.int64)])[rows.offsets]
        return LabelRows(ends, ones % self._width, rows.unlabelled)


def _nothing(array: pa.Array) -> Bools:
    """(N,) where there is no value: null, or NaN, which pandas writes for it."""
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), None, array)
    return np.asarray(array.is_null().to_numpy(zero_copy_only=False), np.bool_)


def _no_index(values: pa.Array) -> Any:
    """The first value that is no whole number of 64 bits."""
    for value in values.to_pylist():
        if abs(value) >= 1 << 63 or value != int(value):
            return value
    return values.type
