"""The feature table: rows (instance, part, id) and their vectors (N, D). Arrow and NumPy; no torch.

A row is one region (`part`) of one instance of the image table; CSRMS has one part an image, other methods have more.
Topology (ids, labels) and vectors travel apart: `rows.arrow` is small, `vectors.npy` is memory-mapped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from scipy import sparse

from csrms_dist.basics.arrays import F32, I32, I64
from csrms_dist.labels import LabelSpace, Membership

VECTORS, ROWS = "vectors.npy", "rows.arrow"


@dataclass(frozen=True)
class FeatureTable:
    """N rows of D-dimensional features.

    vectors: (N, D) float32, finite.
    instance: (N,) int64, dense index into the image table.
    part: (N,) int32.
    ids: the user's own ids, (N,) Arrow strings, unique for part 0.
    membership: (N, K), or None without labels.
    label_space: the classes, or None without labels.
    """

    vectors: F32
    instance: I64
    part: I32
    ids: pa.Array
    membership: Membership | None = None
    label_space: LabelSpace | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dimension(self) -> int:
        return int(self.vectors.shape[1])

    def id_list(self) -> list[str]:
        """The ids as Python strings: about 80 bytes a row. `ids` itself costs nothing."""
        ids: list[str] = self.ids.to_pylist()
        return ids

    def save(self, folder: Path) -> None:
        """Write rows.arrow and, unless it is there already, vectors.npy."""
        write_rows(folder, self.instance, self.part, self.ids, self.membership, self.label_space)
        if not (folder / VECTORS).exists():
            np.save(folder / VECTORS, self.vectors)

    @classmethod
    def load(cls, folder: Path) -> FeatureTable:
        """Memory-map a saved table."""
        rows = pa.ipc.open_file(pa.memory_map(str(folder / ROWS))).read_all()
        space = membership = None
        if stored := (rows.schema.metadata or {}).get(b"label_space"):
            facts = json.loads(stored)
            space = LabelSpace(tuple(facts["class_names"]), facts["multi_label"])
            labels = rows["labels"].combine_chunks()
            indices, indptr = labels.values.to_numpy(), labels.offsets.to_numpy()
            # Canonical as it was written, so the mapped arrays serve as they are.
            ones, shape = np.ones(len(indices), np.uint8), (len(indptr) - 1, space.n_classes)
            membership = sparse.csr_array((ones, indices, indptr), shape=shape)
        return cls(
            np.load(folder / VECTORS, mmap_mode="r"),
            rows["instance"].combine_chunks().to_numpy(),
            rows["part"].combine_chunks().to_numpy(),
            rows["id"].combine_chunks(),
            membership,
            space,
        )


def write_rows(
    folder: Path,
    instance: I64,
    part: I32,
    ids: pa.Array,
    membership: Membership | None,
    label_space: LabelSpace | None,
) -> None:
    """Write the topology of a feature table."""
    columns = {"instance": pa.array(instance), "part": pa.array(part), "id": ids}
    metadata = None
    if membership is not None and label_space is not None:
        offsets = pa.array(np.asarray(membership.indptr, np.int32))
        columns["labels"] = pa.ListArray.from_arrays(offsets, pa.array(np.asarray(membership.indices, np.int32)))
        facts = {"class_names": list(label_space.class_names), "multi_label": label_space.multi_label}
        metadata = {"label_space": json.dumps(facts)}
    table = pa.table(columns)
    table = table.replace_schema_metadata(metadata)
    with pa.OSFile(str(folder / ROWS), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
