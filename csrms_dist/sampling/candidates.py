"""Candidate neighbours of every anchor, of one edge type, in CSR form: the value and its files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from csrms_dist.basics.arrays import F32, I64, U8
from csrms_dist.basics.ranges import ranges, starts
from csrms_dist.errors import RunDirectoryError
from csrms_dist.sampling.subgraph import NEGATIVE, POSITIVE

ARRAYS = {"indptr": np.int64, "neighbours": np.int64, "priority": np.uint8, "weight": np.float32}
"""The fields of `Candidates`, and the files <field>.npy, with their dtypes."""

AGAIN = "write them anew with csrms_dist.sampling.write_candidates"


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates of one edge type for A anchors.

    indptr: (A + 1,) int64. neighbours: (E,) int64, rows of the hierarchy; those of anchor a are
    neighbours[indptr[a]:indptr[a + 1]], no row twice, in the order of the strategy (positives farthest first, negatives
    own pattern first and nearest first). priority: (E,) uint8; a candidate of higher priority is always drawn before
    one of lower priority. weight: (E,) float32 in (0, 1], how readily each is drawn among its equals, or None where all
    weigh 1; the positives of multi-label data have the Jaccard similarity of the label sets.
    """

    indptr: I64
    neighbours: I64
    priority: U8
    weight: F32 | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def of(self, anchor: int) -> I64:
        """The candidates of one anchor."""
        return self.neighbours[self.indptr[anchor] : self.indptr[anchor + 1]]

    def edges(self, anchors: I64) -> tuple[I64, I64]:
        """The candidate edges of some anchors (B,): (position in `anchors` (E',), index into `neighbours` (E',))."""
        start = self.indptr[anchors]
        return ranges(start, self.indptr[anchors + 1] - start)

    def save(self, folder: Path) -> None:
        """Write indptr.npy, neighbours.npy, priority.npy and, if there are weights, weight.npy.

        Equal candidates give equal bytes.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name, dtype in ARRAYS.items():
            if getattr(self, name) is not None:
                np.save(folder / f"{name}.npy", np.ascontiguousarray(getattr(self, name), dtype=dtype))

    @classmethod
    def load(cls, folder: Path) -> Candidates:
        """Memory-map what `save` wrote. Raises RunDirectoryError when it is not all there.

        The maps are private (copy on write): the file is safe, and libraries that ask for writable arrays take them
        without a copy.
        """
        names = [name for name in ARRAYS if name != "weight" or (folder / "weight.npy").exists()]
        try:
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in names}
        except (OSError, ValueError) as error:
            got = f"'{error.strerror}'" if isinstance(error, OSError) and error.strerror else str(error)
            raise RunDirectoryError(
                f"the candidates in {folder}", got=got, expected="the .npy files of an edge type", remedy=AGAIN
            ) from error
        found = cls(**arrays)
        sizes = {len(array) for name, array in arrays.items() if name != "indptr"}
        if sizes != {int(found.indptr[-1]) if len(found.indptr) else -1}:
            raise RunDirectoryError(f"the candidates in {folder}", got="arrays of different lengths", remedy=AGAIN)
        return found

    @classmethod
    def concatenate(cls, parts: Sequence[Candidates]) -> Candidates:
        """Candidates of consecutive ranges of anchors -> of all of them. All parts have weights, or none has."""
        degrees = [np.diff(part.indptr) for part in parts]
        weights = [part.weight for part in parts if part.weight is not None]
        return cls(
            indptr_of(np.concatenate([np.zeros(0, dtype=np.int64), *degrees])),
            np.concatenate([np.zeros(0, dtype=np.int64), *(part.neighbours for part in parts)]),
            np.concatenate([np.zeros(0, dtype=np.uint8), *(part.priority for part in parts)]),
            np.concatenate(weights) if weights else None,
        )


def indptr_of(degrees: npt.NDArray[np.integer]) -> I64:
    """(A,) how many candidates each anchor has -> (A + 1,) int64, where they start."""
    return starts(degrees)


def save_candidates(folder: Path, candidates: Mapping[str, Candidates]) -> None:
    """Write each edge type to a folder of its name."""
    for edge_type, some in candidates.items():
        some.save(folder / edge_type)


def load_candidates(folder: Path, edge_types: Iterable[str] = (POSITIVE, NEGATIVE)) -> dict[str, Candidates]:
    """Memory-map what `save_candidates` wrote. Raises RunDirectoryError when an edge type is not there.

    A run writes the edge types that its losses and its reading look at, and no other.
    """
    wanted = tuple(edge_types)
    if not all((folder / kind).is_dir() for kind in wanted):
        found = [kind for kind in (POSITIVE, NEGATIVE) if (folder / kind).is_dir()]
        raise RunDirectoryError(
            f"the candidates in {folder}", got=f"the edge types {', '.join(found) or 'none'}",
            expected=", ".join(wanted),
            remedy=f"ask for edge_types={tuple(found)}" if found else AGAIN,
        )  # fmt: skip
    return {edge_type: Candidates.load(folder / edge_type) for edge_type in wanted}
