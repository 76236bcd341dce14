"""The feature table: rows (instance, part, id) and their vectors (N, D). Arrow and NumPy; no torch.

A row is one region (`part`) of one instance of the image table; CSRMS has one part an image, sister methods have more.
Topology (ids, labels) and vectors travel apart: `rows.arrow` is small, `vectors.npy` is memory-mapped.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from csrms_dist.errors import DataError
from csrms_dist.labels import LabelSpace, Membership, label_lists, membership_from_csr

F32 = npt.NDArray[np.float32]
MAX_CLASSES = 10_000_000
"""A larger class index is taken for a mistake (an id in the place of a label): memory grows with the largest one."""


@dataclass(frozen=True)
class FeatureTable:
    """N rows of D-dimensional features.

    vectors: (N, D) float32, finite. instance: (N,) int64, dense index into the image table. part: (N,) int32. ids: the
    user's own ids, (N,) Arrow strings, unique for part 0. membership: (N, K) or None without labels.
    """

    vectors: F32
    instance: npt.NDArray[np.int64]
    part: npt.NDArray[np.int32]
    ids: Any
    membership: Membership | None = None
    label_space: LabelSpace | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dimension(self) -> int:
        return int(self.vectors.shape[1])

    def id_list(self) -> list[str]:
        ids: list[str] = self.ids.to_pylist()
        return ids

    def save(self, folder: Path) -> None:
        """Write rows.arrow and, unless it is there already, vectors.npy."""
        write_rows(folder, self.instance, self.part, self.ids, self.membership, self.label_space)
        if not (folder / "vectors.npy").exists():
            np.save(folder / "vectors.npy", self.vectors)

    @classmethod
    def load(cls, folder: Path) -> FeatureTable:
        """Memory-map a saved table."""
        rows = pa.ipc.open_file(pa.memory_map(str(folder / "rows.arrow"))).read_all()
        space = membership = None
        if stored := (rows.schema.metadata or {}).get(b"label_space"):
            facts = json.loads(stored)
            space = LabelSpace(tuple(facts["class_names"]), facts["multi_label"])
            labels = rows["labels"].combine_chunks()
            membership = membership_from_csr(labels.offsets.to_numpy(), labels.values.to_numpy(), space.n_classes)
        return cls(
            np.load(folder / "vectors.npy", mmap_mode="r"),
            rows["instance"].to_numpy(),
            rows["part"].to_numpy(),
            rows["id"].combine_chunks(),
            membership,
            space,
        )


def write_rows(
    folder: Path,
    instance: npt.NDArray[np.int64],
    part: npt.NDArray[np.int32],
    ids: Any,
    membership: Membership | None,
    label_space: LabelSpace | None,
) -> None:
    """Write the topology of a feature table."""
    columns = {"instance": pa.array(instance), "part": pa.array(part), "id": ids}
    metadata = None
    if membership is not None and label_space is not None:
        columns["labels"] = pa.array(label_lists(membership), pa.list_(pa.int32()))
        facts = {"class_names": list(label_space.class_names), "multi_label": label_space.multi_label}
        metadata = {"label_space": json.dumps(facts)}
    table = pa.table(columns)
    table = table.replace_schema_metadata(metadata)
    with pa.OSFile(str(folder / "rows.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def read_vectors(path: str | Path) -> FeatureTable:
    """Import a user's Parquet of `id`, `vector` and, if there are labels, `label` or `labels` (`labels` wins).

    `label_space` in the schema's metadata (JSON with `class_names`, as in rows.arrow) or the column `class_name`
    (beside `label`) names the classes; otherwise their index does. Raises DataError for a missing file or column,
    repeated ids, vectors of unequal width, values that float32 cannot hold, and labels that are no class index, naming
    the row.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("features.path", got=f"{path}, which is not a file", expected="a Parquet file of id and vector")
    try:
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise DataError(str(path), got=f"'{error}'", expected="a Parquet file of id and vector") from error
    for column in ("id", "vector"):
        if column not in table.column_names:
            raise DataError(
                str(path), got=f"the columns {', '.join(table.column_names)}", expected=f"a column '{column}'",
                remedy="rename it",
            )  # fmt: skip
    try:
        ids = table["id"].cast(pa.string()).combine_chunks()
    except pa.ArrowException as error:
        raise DataError(f"{path}: column id", got=str(table["id"].type), expected="text or whole numbers") from error
    names: list[str] = ids.to_pylist()
    if ids.null_count:
        raise DataError(str(path), got=f"no id in row {names.index(None)}", expected="an id in every row")  # type: ignore[arg-type]
    if len(set(names)) != len(names):
        repeated, times = Counter(names).most_common(1)[0]
        got = f"the id '{repeated}' {times} times"
        raise DataError(str(path), got=got, expected="every id once", remedy="make the ids unique")
    if not names:
        raise DataError(str(path), got="no rows", expected="at least one row")
    vectors = _matrix(table["vector"], names, path)
    space, membership = _labels(table, names, path)
    return FeatureTable(
        vectors, np.arange(len(names), dtype=np.int64), np.zeros(len(names), np.int32), ids, membership, space
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _matrix(column: Any, names: list[str], path: Path) -> F32:
    kind = column.type
    if not _is_list(kind) or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise DataError(f"{path}: column vector", got=str(kind), expected="lists of numbers")
    # Large lists, because 32-bit offsets end at 2^31 numbers; `safe` would refuse whole numbers above 2^24.
    array = column.cast(pa.large_list(pa.float32()), safe=False).combine_chunks()
    if array.null_count:
        row = array.is_null().to_pylist().index(True)
        raise DataError(f"{path}: vector of '{names[row]}'", got="nothing", expected="a list of numbers")
    widths = array.value_lengths().to_numpy()
    if (widths != widths[0]).any() or widths[0] == 0:
        row = int(np.flatnonzero(widths != widths[0])[0]) if widths[0] else 0
        expected = f"{widths[0]} as in the first row" if widths[0] else "at least one"
        raise DataError(
            f"{path}: vector of '{names[row]}'", got=f"{widths[row]} numbers", expected=expected,
            remedy="give every row the same width",
        )  # fmt: skip
    matrix: F32 = np.array(array.flatten().to_numpy(zero_copy_only=False)).reshape(len(names), -1)
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        value = matrix[row][~np.isfinite(matrix[row])][0]
        raise DataError(
            f"{path}: vector of '{names[row]}'", got=str(value), expected="finite float32 numbers",
            remedy=f"remove or repair it ({int((~finite).sum())} such rows)",
        )  # fmt: skip
    return matrix


def _labels(table: pa.Table, names: list[str], path: Path) -> tuple[LabelSpace | None, Membership | None]:
    column = next((name for name in ("labels", "label") if name in table.column_names), None)
    if column is None:
        return None, None
    what, multi_label, kind = f"{path}: column {column}", column == "labels", table[column].type
    if multi_label != _is_list(kind) or not pa.types.is_integer(kind.value_type if multi_label else kind):
        expected = "lists of class indices" if multi_label else "class indices (names go into class_name)"
        raise DataError(what, got=str(kind), expected=expected, remedy="cast it to whole numbers from 0")
    values = table[column].to_pylist()
    rows = values if multi_label else [[value] for value in values]
    for name, row in zip(names, rows, strict=True):
        if row is None or None in row:
            raise DataError(f"{path}: {column} of '{name}'", got="nothing", expected="a label", remedy="fill it in")
        if any(not 0 <= k < MAX_CLASSES for k in row):
            expected = f"class indices in 0..{MAX_CLASSES - 1}"
            raise DataError(
                f"{path}: {column} of '{name}'", got=str(row), expected=expected, remedy="number the classes"
            )
    n_classes = 1 + max((k for row in rows for k in row), default=-1)
    if n_classes == 0:
        raise DataError(what, got="no label at all", expected="at least one class", remedy="drop the column")
    space = LabelSpace(_class_names(table, rows, n_classes, path), multi_label)
    return space, space.membership(values, names)


def _class_names(table: pa.Table, rows: list[list[int]], n_classes: int, path: Path) -> tuple[str, ...]:
    if stored := (table.schema.metadata or {}).get(b"label_space"):
        return tuple(json.loads(stored)["class_names"])
    found: dict[int, str] = {}
    if "class_name" in table.column_names and "labels" not in table.column_names:
        for (k,), name in zip(rows, table["class_name"].to_pylist(), strict=True):
            if name is not None and found.setdefault(k, str(name)) != str(name):
                got = f"'{found[k]}' and '{name}' for class {k}"
                raise DataError(f"{path}: column class_name", got=got, expected="one name a class")
    return tuple(found.get(k, str(k)) for k in range(n_classes))
