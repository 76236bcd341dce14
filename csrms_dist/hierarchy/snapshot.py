"""A HierarchyGraph as a folder of memory-mapped .npy files and one canonical JSON; equal graphs give equal bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from csrms_dist.artefacts.files import disk_errors
from csrms_dist.artefacts.fingerprints import canonical_json
from csrms_dist.basics.arrays import Matrix
from csrms_dist.errors import RunDirectoryError
from csrms_dist.hierarchy.csr import canonical_csr
from csrms_dist.hierarchy.graph import Csr, HierarchyGraph

FORMAT = 1
_BLOCK = 1 << 16
INDEX = "hierarchy.json"
REMEDY = "delete the artefact graph/ and run `csrms graph CONFIG` again"
_ARRAYS = {
    "instance": np.int64,
    "pattern": np.int32,
    "score": np.float32,
    "difficulty": np.float32,
    "dominated": np.bool_,
    "member_indptr": np.int64,
    "member_rows": np.int64,
}
_MATRICES = {"membership": np.uint8, "counts": np.int64}
# `role` has the sparsity of `counts`: its values alone are stored.


def _parts(graph: HierarchyGraph) -> dict[str, Matrix]:
    parts: dict[str, Matrix] = {name: np.asarray(getattr(graph, name), kind) for name, kind in _ARRAYS.items()}
    for name, kind in _MATRICES.items():
        matrix = getattr(graph, name)
        matrix = canonical_csr(np.asarray(matrix.data, kind), matrix.indices, matrix.indptr, matrix.shape)
        parts |= {f"{name}.indptr": matrix.indptr, f"{name}.indices": matrix.indices, f"{name}.data": matrix.data}
    return parts | {"role.data": np.asarray(graph.role.data, np.int8)}


def save(graph: HierarchyGraph, folder: str | Path) -> None:
    """Write the graph below `folder` (made if absent): byte-deterministic. The caller stages and publishes the folder.

    Raises RunDirectoryError when the disk is full or the folder may not be written.
    """
    target = Path(folder)
    facts = {
        "format": FORMAT,
        "n_rows": graph.n_rows,
        "n_patterns": graph.n_patterns,
        "n_classes": graph.n_classes,
        "multi_label": graph.multi_label,
        "dominance_threshold": graph.dominance_threshold,
    }
    with disk_errors(str(target)):
        target.mkdir(parents=True, exist_ok=True)
        for name, array in _parts(graph).items():
            with (target / f"{name}.npy").open("wb") as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
        (target / INDEX).write_text(canonical_json(facts) + "\n")


def load(folder: str | Path) -> HierarchyGraph:
    """Open a saved graph; the arrays are memory-mapped, read-only. Raises RunDirectoryError when it is not whole."""
    source = Path(folder)
    try:
        facts = json.loads((source / INDEX).read_text())
        if facts["format"] != FORMAT:
            raise RunDirectoryError(
                str(source),
                got=f"format {facts['format']}",
                expected=str(FORMAT),
                remedy=REMEDY,
            )
        return _load(source, facts)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError) as error:
        raise RunDirectoryError(
            f"{source} has no whole hierarchy",
            got=str(error),
            remedy=REMEDY,
        ) from error


def _load(source: Path, facts: dict[str, Any]) -> HierarchyGraph:
    def read(name: str) -> Matrix:
        # as plain arrays over the map: scipy and numba treat the memmap class itself less well
        return np.asarray(np.load(source / f"{name}.npy", mmap_mode="r", allow_pickle=False))

    shape = {
        "membership": (facts["n_rows"], facts["n_classes"]),
        "counts": (facts["n_patterns"], facts["n_classes"]),
    }

    def matrix(name: str, data: Matrix) -> Csr:
        return canonical_csr(data, read(f"{name}.indices"), read(f"{name}.indptr"), shape[name])

    return HierarchyGraph(
        **{name: read(name) for name in _ARRAYS},
        **{name: matrix(name, read(f"{name}.data")) for name in _MATRICES},
        role=matrix("counts", read("role.data")),
        multi_label=bool(facts["multi_label"]),
        dominance_threshold=float(facts["dominance_threshold"]),
    )


def fingerprint_of(graph: HierarchyGraph) -> str:
    """A digest of every value of the graph: equal for graphs that `equal` finds equal."""
    digest = hashlib.sha256()
    shapes = [*graph.membership.shape, *graph.counts.shape]
    digest.update(canonical_json([shapes, graph.multi_label, graph.dominance_threshold]).encode())
    for name, array in sorted(_parts(graph).items()):
        digest.update(f"{name} {len(array)} ".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()[:32]


def equal(a: HierarchyGraph, b: HierarchyGraph) -> bool:
    """Whether two graphs hold the same values, bit for bit (float32 scores included), the same roles and settings."""
    same_facts = (a.multi_label, a.dominance_threshold) == (b.multi_label, b.dominance_threshold)
    same_shapes = (a.membership.shape, a.counts.shape) == (b.membership.shape, b.counts.shape)
    same_sparsity = all(
        np.array_equal(getattr(g.role, name), getattr(g.counts, name)) for g in (a, b) for name in ("indptr", "indices")
    )
    left, right = _parts(a), _parts(b)
    return same_facts and same_shapes and same_sparsity and all(_same(left[name], right[name]) for name in left)


def _same(a: Matrix, b: Matrix) -> bool:
    """Equal shapes and bytes, compared in blocks."""
    blocks = range(0, len(a), _BLOCK)
    return a.shape == b.shape and all(a[s : s + _BLOCK].tobytes() == b[s : s + _BLOCK].tobytes() for s in blocks)
