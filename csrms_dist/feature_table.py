"""The feature table: rows (instance, part, id) and their vectors (N, D). Arrow and NumPy; no torch.

A row is one region (`part`) of one instance of the image table; CSRMS has one part an image, sister methods have more.
Topology (ids, labels) and vectors travel apart: `rows.arrow` is small, `vectors.npy` is memory-mapped.
"""

from __future__ import annotations

import json
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
        if rows.schema.metadata:
            facts = json.loads(rows.schema.metadata[b"label_space"])
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

    `class_name` (beside `label`) or the schema's metadata names the classes; otherwise their index does. Raises DataError
    for a missing file or column, repeated ids, vectors of unequal width, and NaN or infinite values, naming the row.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("features.path", got=f"{path}, which is not a file", expected="a Parquet file of id and vector")
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(str(path), got=f"'{error}'", expected="a Parquet file of id and vector") from error
    for column in ("id", "vector"):
        if column not in table.column_names:
            raise DataError(
                str(path), got=f"the columns {', '.join(table.column_names)}", expected=f"a column '{column}'",
                remedy="rename it",
            )  # fmt: skip
    ids = table["id"].cast(pa.string()).combine_chunks()
    names: list[str] = ids.to_pylist()
    if ids.null_count:
        raise DataError(str(path), got=f"no id in row {names.index(None)}", expected="an id in every row")  # type: ignore[arg-type]
    if len(set(names)) != len(names):
        seen: set[str] = set()
        repeated = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise DataError(str(path), got=f"the id '{repeated}' twice", expected="every id once", remedy="make the ids unique")
    if not names:
        raise DataError(str(path), got="no rows", expected="at least one row")
    vectors = _matrix(table["vector"], names, path)
    space, membership = _labels(table, names, path)
    return FeatureTable(
        vectors, np.arange(len(names), dtype=np.int64), np.zeros(len(names), np.int32), ids, membership, space
    )


def _matrix(column: Any, names: list[str], path: Path) -> F32:
    array = column.combine_chunks()
    kind = array.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)) or not (
        pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
    ):
        raise DataError(f"{path}: column vector", got=str(kind), expected="lists of numbers")
    if array.null_count:
        raise DataError(f"{path}: column vector", got=f"no vector for '{names[array.is_null().to_pylist().index(True)]}'")
    widths = np.asarray(array.value_lengths().to_numpy(zero_copy_only=False))
    if (widths != widths[0]).any() or widths[0] == 0:
        row = int(np.flatnonzero(widths != widths[0])[0]) if widths[0] else 0
        raise DataError(
            f"{path}: vector of '{names[row]}'", got=f"{widths[row]} numbers",
            expected=f"{widths[0] or 'at least one'} as in the first row", remedy="give every row the same width",
        )  # fmt: skip
    flat = array.flatten()
    matrix = flat.to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(names), int(widths[0]))
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        value = matrix[row][~np.isfinite(matrix[row])][0]
        raise DataError(
            f"{path}: vector of '{names[row]}'", got=str(value), expected="finite numbers",
            remedy=f"remove or repair it ({int((~finite).sum())} such rows)",
        )  # fmt: skip
    return matrix


def _labels(table: pa.Table, names: list[str], path: Path) -> tuple[LabelSpace | None, Membership | None]:
    column = next((name for name in ("labels", "label") if name in table.column_names), None)
    if column is None:
        return None, None
    values = table[column].to_pylist()
    if any(value is None for value in values):
        row = values.index(None)
        raise DataError(f"{path}: {column} of '{names[row]}'", got="nothing", expected="a label", remedy="fill it in")
    try:
        flat = [int(k) for value in values for k in (value if column == "labels" else [value])]
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: column {column}", got=str(table[column].type), expected="class indices") from error
    if min(flat, default=0) < 0 or not flat:
        raise DataError(f"{path}: column {column}", got=str(min(flat, default="no label at all")), expected="class indices from 0")
    n_classes = max(flat) + 1
    class_names = [str(k) for k in range(n_classes)]
    if column == "label" and "class_name" in table.column_names:
        for k, name in zip(flat, table["class_name"].to_pylist(), strict=True):
            class_names[k] = name
    space = LabelSpace(tuple(class_names), multi_label=column == "labels")
    return space, space.membership(values, names)
