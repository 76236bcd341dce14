"""A stored run as the arrays that libraries of graphs want: nodes and edges by type, with their columns. No torch.

Node types: instance (training rows, then those of the splits val, test and unlabelled), pattern, class. Edge types:
(instance, in_pattern, pattern), (instance, has_label, class), (class, covers, pattern), (class, looks_like, class).
Only training rows have `has_label`, and `covers` and `looks_like` count nothing else. The hierarchy is the snapshot
that the stage graph exported from the store, whichever store it was; features are mapped from their files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from scipy import sparse

from csrms_dist.artefacts.names import HELD_OUT
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.arrays import F32, I32, I64, U8, Matrix
from csrms_dist.basics.hashing import Texts, texts
from csrms_dist.datasets.image_source import TEST, TRAIN, UNLABELLED, VAL
from csrms_dist.features.feature_table import VECTORS, FeatureTable
from csrms_dist.hierarchy.csr import stored_rows
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.hierarchy.look_alikes import look_alikes
from csrms_dist.hierarchy.pattern_counts import pattern_shares
from csrms_dist.labels import Membership, membership_from_csr
from csrms_dist.run_contents import RunContents

Relation: TypeAlias = tuple[str, str, str]
Source: TypeAlias = str | Path | RunDirectory | RunContents | HierarchyGraph
"""A run, by its folder or opened; or a snapshot of a hierarchy alone, which has no features and no names."""

INSTANCE, PATTERN, CLASS = "instance", "pattern", "class"
IN_PATTERN: Relation = (INSTANCE, "in_pattern", PATTERN)
HAS_LABEL: Relation = (INSTANCE, "has_label", CLASS)
COVERS: Relation = (CLASS, "covers", PATTERN)
LOOKS_LIKE: Relation = (CLASS, "looks_like", CLASS)
NO_LABEL = -1


class Column(Protocol):
    """A figure of each node, read when it is asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def take(self, rows: I64) -> Matrix:
        """Some rows, and no others are read."""

    def whole(self) -> Matrix:
        """All rows."""


@dataclass(frozen=True)
class Joined:
    """The rows of some arrays, one array after the other."""

    parts: tuple[Matrix, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(len(part) for part in self.parts), *self.parts[0].shape[1:])

    def take(self, rows: I64) -> Matrix:
        found, first = np.empty((len(rows), *self.shape[1:]), self.parts[0].dtype), 0
        for part in self.parts:
            here = (rows >= first) & (rows < first + len(part))
            found[here] = part[rows[here] - first]
            first += len(part)
        return found

    def whole(self) -> Matrix:
        """A single array as it is, without a copy."""
        return self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)


@dataclass(frozen=True)
class Memberships:
    """(N, K) uint8 rows of a sparse matrix."""

    matrix: Membership

    @property
    def shape(self) -> tuple[int, ...]:
        n, k = self.matrix.shape
        return int(n), int(k)

    def take(self, rows: I64) -> Matrix:
        found: Matrix = self.matrix[rows].toarray()
        return found

    def whole(self) -> Matrix:
        found: Matrix = self.matrix.toarray()
        return found


@dataclass(frozen=True)
class Edges:
    """source, target: (E,) int64, of each edge. columns: name -> (E,), its figures."""

    source: I64
    target: I64
    columns: Mapping[str, Matrix] = field(default_factory=dict)


@dataclass(frozen=True)
class GraphArrays:
    """The nodes of each type with their figures and texts, and the edges of each type.

    Instance: `x` (N, D) float32; `y` (N,) int64, -1 for none, or with several labels (N, K) uint8; `image` (N,) int64,
    the index in the store; `train_mask`, `val_mask`, `test_mask` (N,) bool; the text `id`. Pattern: `x` (J, D')
    float32, prototypes divided by the largest number of their type; `size` (J,) int64; `dominated` (J,) bool. Class:
    the text `name`. Edges: in_pattern has `score`; covers `count`, `share`, `role` (the codes of hierarchy.graph's
    ROLE_NAMES); looks_like what `LookAlikes` has. Without classes there is no node type class, and no `y`.
    """

    sizes: Mapping[str, int]
    nodes: Mapping[str, Mapping[str, Column]]
    texts: Mapping[tuple[str, str], tuple[Texts, ...]]
    edges: Mapping[Relation, Edges]

    def text_lists(self) -> dict[tuple[str, str], list[str]]:
        """(node type, name) -> the texts as Python has them: about 80 bytes each."""
        return {place: list(chain.from_iterable(map(texts, parts))) for place, parts in self.texts.items()}


def arrays_of(source: Source, *, held_out: bool = True, with_test_labels: bool = False) -> GraphArrays:
    """The arrays of a run or of a snapshot.

    held_out: with the rows that are not of training. with_test_labels: `y` of the split test, which else is as of a row
    without a label. Raises RunDirectoryError for a run whose graph was not made.
    """
    if isinstance(source, HierarchyGraph):
        return _arrays(source, None, None, with_test_labels)
    if not isinstance(source, RunContents):
        source = RunContents(source if isinstance(source, RunDirectory) else RunDirectory(source))
    return _arrays(source.hierarchy, source, source.held_out if held_out else None, with_test_labels)


def _arrays(
    graph: HierarchyGraph, run: RunContents | None, beside: FeatureTable | None, with_test_labels: bool
) -> GraphArrays:
    split = np.full(graph.n_rows, TRAIN, np.uint8)
    image, pattern, score, labels = graph.instance, graph.pattern, graph.score, graph.membership
    names: dict[tuple[str, str], tuple[Texts, ...]] = {}
    instances: dict[str, Column] = {}
    patterns: dict[str, Column] = {"size": Joined((graph.sizes,)), "dominated": Joined((graph.dominated,))}
    if run is not None:
        vectors = [_mapped(run.vectors_file)]
        names[INSTANCE, "id"] = (run.ids,)
        if beside is not None:
            placed, of_split = run.held_out_places, _split_of(beside)
            split = np.concatenate([split, of_split])
            image = np.concatenate([image, beside.instance])
            pattern = np.concatenate([pattern, placed.pattern])
            score = np.concatenate([score, placed.score])
            shown = beside.labels if with_test_labels else _without(beside.labels, of_split == TEST)
            labels = sparse.vstack([labels, shown], format="csr")
            vectors.append(_mapped(run.directory.open("features") / HELD_OUT / VECTORS))
            names[INSTANCE, "id"] = (run.ids, beside.ids)
        instances["x"] = Joined(tuple(vectors))
        patterns["x"] = Joined((_unit_range(run.clusters.prototypes),))
    instances |= {"image": Joined((image,)), **_masks(split)}
    edges = {IN_PATTERN: _in_pattern(pattern, score)}
    nodes: dict[str, dict[str, Column]] = {INSTANCE: instances, PATTERN: patterns}
    sizes = {INSTANCE: len(split), PATTERN: graph.n_patterns}
    if graph.n_classes:
        instances["y"] = Memberships(labels) if graph.multi_label else Joined((_classes(labels),))
        nodes[CLASS], sizes[CLASS] = {}, graph.n_classes
        edges |= _of_classes(graph)
        if run is not None:
            names[CLASS, "name"] = (run.features.classes.class_names,)
    return GraphArrays(sizes, nodes, names, edges)


def _mapped(path: Path) -> F32:
    """A file as an array that may be written to in memory and never on disk: torch wants a writable one."""
    found: F32 = np.load(path, mmap_mode="c", allow_pickle=False)
    return found


def _split_of(table: FeatureTable) -> U8:
    return np.full(len(table), UNLABELLED, np.uint8) if table.split is None else table.split


def _without(labels: Membership, hidden: Matrix) -> Membership:
    """The same with no label in the hidden rows."""
    counts = np.diff(labels.indptr)
    indices = labels.indices[np.repeat(~hidden, counts)]
    indptr = np.concatenate([[0], np.cumsum(np.where(hidden, 0, counts))])
    return membership_from_csr(indptr, indices, labels.shape[1])


def _classes(labels: Membership) -> I64:
    """(N,) the class of each row of a one-hot matrix, NO_LABEL where it has none."""
    found = np.full(labels.shape[0], NO_LABEL, np.int64)
    found[stored_rows(labels)] = labels.indices
    return found


def _masks(split: U8) -> dict[str, Column]:
    codes = {"train": TRAIN, "val": VAL, "test": TEST}
    return {f"{name}_mask": Joined((split == code,)) for name, code in codes.items()}


def _unit_range(prototypes: Matrix) -> F32:
    if prototypes.dtype.kind not in "iu":
        return prototypes.astype(np.float32)
    return (prototypes / np.float32(np.iinfo(prototypes.dtype).max)).astype(np.float32)


def _in_pattern(pattern: I32, score: F32) -> Edges:
    return Edges(np.arange(len(pattern)), pattern.astype(np.int64), {"score": score})


def _of_classes(graph: HierarchyGraph) -> dict[Relation, Edges]:
    """The edges that come of the labels of training rows."""
    labels, counts, alike = graph.membership, graph.counts, look_alikes(graph)
    share = pattern_shares(counts, graph.sizes).data.astype(np.float32)
    covered = {"count": counts.data, "share": share, "role": graph.role.data}
    likeness = {name: getattr(alike, name) for name in ("weight", "reverse", "lift", "images", "bound")}
    return {
        HAS_LABEL: Edges(stored_rows(labels), labels.indices.astype(np.int64)),
        COVERS: Edges(counts.indices.astype(np.int64), stored_rows(counts), covered),
        LOOKS_LIKE: Edges(alike.source, alike.target, likeness),
    }
