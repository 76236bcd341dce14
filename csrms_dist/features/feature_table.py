"""The feature table: rows (instance, part, id) and their vectors (N, D). Arrow and NumPy; no torch.

A row is one region (`part`) of one instance of the image table; CSRMS has one part an image, other methods have more.
Topology (ids, labels) and vectors travel apart: `rows.arrow` is small, `vectors.npy` is memory-mapped. Rows of the
splits val, test and unlabelled lie in a table of their own below that of the training rows, which is the same without
them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from scipy import sparse

from csrms_dist.artefacts.files import NpyWriter
from csrms_dist.artefacts.names import HELD_OUT
from csrms_dist.basics.arrays import F32, I32, I64, U8
from csrms_dist.datasets.image_source import SPLITS, TRAIN
from csrms_dist.labels import LabelSpace, Membership, membership_from_csr

VECTORS, ROWS = "vectors.npy", "rows.arrow"
_BLOCK = 1 << 14


@dataclass(frozen=True)
class FeatureTable:
    """N rows of D-dimensional features.

    vectors: (N, D) float32, finite.
    instance: (N,) int64, dense index into the image table.
    part: (N,) int32.
    ids: the user's own ids, (N,) Arrow strings, unique for part 0.
    membership: (N, K), or None without labels.
    label_space: the classes, or None without labels.
    split: (N,) uint8, index into SPLITS; None: all rows are of training.
    uris: (N,) Arrow strings, where each instance lies; None where nobody said.
    """

    vectors: F32
    instance: I64
    part: I32
    ids: pa.Array
    membership: Membership | None = None
    label_space: LabelSpace | None = None
    split: U8 | None = None
    uris: pa.Array | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dimension(self) -> int:
        return int(self.vectors.shape[1])

    @property
    def labels(self) -> Membership:
        """(N, K) membership, K = 0 without labels."""
        if self.membership is not None:
            return self.membership
        return membership_from_csr(np.zeros(len(self) + 1, np.int64), np.zeros(0, np.int32), 0)

    @property
    def classes(self) -> LabelSpace:
        """The classes; none without labels."""
        return self.label_space or LabelSpace(())

    @property
    def split_names(self) -> pa.Array:
        """The split of each row in words."""
        codes = np.full(len(self), TRAIN, np.uint8) if self.split is None else self.split
        return pa.array(SPLITS).take(pa.array(codes))

    def id_list(self) -> list[str]:
        """The ids as Python strings: about 80 bytes a row. `ids` itself costs nothing."""
        ids: list[str] = self.ids.to_pylist()
        return ids

    def save(self, folder: Path) -> None:
        """Write rows.arrow and, unless it is there already, vectors.npy."""
        write_rows(folder, self.instance, self.part, self.ids, self.membership, self.label_space, self.split, self.uris)
        if not (folder / VECTORS).exists():
            np.save(folder / VECTORS, self.vectors)

    def save_divided(self, folder: Path) -> int:
        """Write the training rows as `save` does and the others below `folder`/held_out; how many others there are.

        A vectors.npy of all rows that is there already is replaced.
        """
        train = np.ones(len(self), np.bool_) if self.split is None else self.split == TRAIN
        if train.all():
            replace(self, split=None).save(folder)
            return 0
        beside, whole = folder / HELD_OUT, folder / ".whole.npy"
        beside.mkdir()
        if (folder / VECTORS).exists():
            (folder / VECTORS).rename(whole)  # what is mapped stays readable
        for place, rows in ((folder, np.flatnonzero(train)), (beside, np.flatnonzero(~train))):
            with NpyWriter(place / VECTORS, np.float32, (len(rows), self.dimension)) as writer:
                for start in range(0, len(rows), _BLOCK):
                    writer.put(start, self.vectors[rows[start : start + _BLOCK]])
            membership = None if self.membership is None else self.membership[rows]
            split = None if self.split is None or place == folder else self.split[rows]
            ids = self.ids.take(pa.array(rows))
            uris = None if self.uris is None else self.uris.take(pa.array(rows))
            write_rows(place, self.instance[rows], self.part[rows], ids, membership, self.label_space, split, uris)
        whole.unlink(missing_ok=True)
        return int((~train).sum())

    @classmethod
    def load(cls, folder: Path, vectors: Any = None) -> FeatureTable:
        """Memory-map a saved table. vectors: what stands for those of its file, where that may have holes."""
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
            np.load(folder / VECTORS, mmap_mode="r") if vectors is None else vectors,
            rows["instance"].combine_chunks().to_numpy(),
            rows["part"].combine_chunks().to_numpy(),
            rows["id"].combine_chunks(),
            membership,
            space,
            rows["split"].combine_chunks().to_numpy() if "split" in rows.column_names else None,
            rows["uri"].combine_chunks() if "uri" in rows.column_names else None,
        )


def write_rows(
    folder: Path,
    instance: I64,
    part: I32,
    ids: pa.Array,
    membership: Membership | None,
    label_space: LabelSpace | None,
    split: U8 | None = None,
    uris: pa.Array | None = None,
) -> None:
    """Write the topology of a feature table."""
    columns = {"instance": pa.array(instance), "part": pa.array(part), "id": ids}
    if split is not None:
        columns["split"] = pa.array(split)
    if uris is not None:
        columns["uri"] = uris
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
