"""The port of the graph store, and what goes in and out of it.

What every store may assume and must keep:
- A stored run never changes. Its key is its fingerprint, so publishing it again confirms it and doubles nothing.
- What comes later is an `Addition` to a run, of a kind, under a fingerprint of its own: as immutable, as whole or
  absent, and gone with its run. It brings rows of the types that have a column `addition`, and images: nodes Instance
  of the split `added`, behind the highest index of the data set, with their HAS_LABEL and one IN_PATTERN each. No count
  of the run and nothing that `export` returns looks at them. An added image belongs to the additions that brought it:
  with the last of them it goes.
- A data set's key is what its first publication said; additions do not change it.
- A run becomes visible whole or not at all; until then readers see the run that was live before.
- A store may hold several data sets, each with several runs, one of which is live. Publishing makes a run live as its
  last act. Readers ask for the live run once and pass its key to every query, so a later publication does not change
  what they see.
- The graph holds topology, counts and scores. Vectors stay in their files, which the run names by URI.
- A run publishes the instances of all splits. What it counts is its training instances: patterns, their sizes and
  shares, dominance, the relations, likeness of classes and the export are the same without the others (`HeldOut`).
- Queries read. A user's values reach the database as parameters, never as text.
- Only what `export` returns is used in training; no batch waits for a database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias, overload, runtime_checkable

import pyarrow as pa

from csrms_dist.artefacts.fingerprints import fingerprint
from csrms_dist.basics.arrays import F32, I32, I64
from csrms_dist.basics.progress import Progress
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import Membership
from graphstore.figures import Figures
from graphstore.queries import NamedQuery

ROW_LIMIT = 10_000
TIMEOUT_S = 10.0
NO_LIMIT, LONG_S = 1 << 40, 600.0
"""Rows and seconds of an answer that goes to a file."""
TRUNCATED = b"truncated"
INSTANCE_DIGITS = 12

Texts: TypeAlias = Any
"""A sequence of str, or Arrow strings (an Array or a ChunkedArray), which may be memory-mapped."""


@dataclass(frozen=True)
class Repeated(Sequence[str]):
    """`length` times the same text, in no memory."""

    text: str
    length: int

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> Repeated: ...

    def __getitem__(self, place: int | slice) -> str | Repeated:
        if isinstance(place, slice):
            return Repeated(self.text, len(range(self.length)[place]))
        range(self.length)[place]  # raises IndexError
        return self.text


HELD_OUT_SPLITS = ("val", "test", "unlabelled")


@dataclass(frozen=True)
class HeldOut:
    """M instances that a run placed in its patterns and counts nowhere.

    instance: (M,) int64 dense indices, strictly ascending, none of the hierarchy's. pattern: (M,) int32. score: (M,)
    float32. membership: (M, K) CSR, a row of the split unlabelled without an entry. ids, split, uris: M texts, each
    split one of HELD_OUT_SPLITS. figures: as of a Publication, of these M.
    """

    instance: I64
    pattern: I32
    score: F32
    membership: Membership
    ids: Texts
    split: Texts
    uris: Texts
    figures: Figures | None = None

    def __len__(self) -> int:
        return len(self.instance)


@dataclass(frozen=True)
class Publication:
    """One run to store: the hierarchy of N training rows with the names that people know it by.

    dataset: any text.
    content_hash: hexadecimal digits, at least 8, of the images and labels of all splits.
    class_names: K distinct names; none where nothing has a label.
    ids, split, uris: N distinct ids of the user's own, N times 'train', and N addresses, '' where an instance has none;
        in the order of hierarchy.instance, as Arrow strings or a sequence of str.
    fingerprint: hexadecimal digits, at least 16, of the run's inputs.
    params: what JSON can hold.
    features_uri, prototypes_uri: where the vectors lie.
    created_ms: since 1970.
    held_out: the instances of the other splits, None where there is none.
    extra: rows of another method's types by `table` name.
    figures: what else is known of the instances; None where nothing was measured.
    """

    dataset: str
    content_hash: str
    class_names: Sequence[str]
    ids: Texts
    split: Texts
    uris: Texts
    hierarchy: HierarchyGraph
    fingerprint: str
    params: Mapping[str, Any]
    vigilance: float
    features_uri: str
    prototypes_uri: str
    created_ms: int
    held_out: HeldOut | None = None
    extra: Mapping[str, pa.Table] = field(default_factory=dict)
    figures: Figures | None = None

    @property
    def n_instances(self) -> int:
        """How many instances of all splits there are."""
        return self.hierarchy.n_rows + len(self.held_out or ())

    @property
    def dataset_key(self) -> str:
        return f"{self.dataset}@{self.content_hash[:8]}"

    @property
    def run_key(self) -> str:
        return f"{self.dataset_key}:{self.fingerprint[:16]}"


@dataclass(frozen=True)
class Addition:
    """What is added to the stored run with the key `run`.

    kind: a word, small letters first.
    fingerprint: hexadecimal digits, at least 16, of the inputs.
    rows: by `table` name, without the columns `addition` and `run`, which the store fills in.
    params: what JSON can hold.
    created_ms: since 1970; of several additions of a kind the newest is the one that named queries take.
    """

    run: str
    kind: str
    fingerprint: str
    rows: Mapping[str, pa.Table]
    params: Mapping[str, Any] = field(default_factory=dict)
    created_ms: int = 0

    @property
    def key(self) -> str:
        return f"{self.run}:{self.kind}:{self.fingerprint[:16]}"


@dataclass(frozen=True)
class AdditionInfo:
    """One stored addition to a run. status: loading, ready or retired."""

    key: str
    run: str
    kind: str
    fingerprint: str
    status: str
    created_ms: int
    params: Mapping[str, Any]


@dataclass(frozen=True)
class RunInfo:
    """One stored run. status: loading, ready, failed or retired; live: whether readers are sent to it.

    n_instances: of training, those that its patterns count. schema_version: of its rows; named queries answer about the
    newest alone.
    """

    key: str
    dataset: str
    dataset_key: str
    status: str
    live: bool
    created_ms: int
    params: Mapping[str, Any]
    vigilance: float
    dominance_threshold: float
    features_uri: str
    prototypes_uri: str
    n_instances: int
    n_patterns: int
    n_classes: int
    multi_label: bool
    schema_version: int


@runtime_checkable
class GraphStore(Protocol):
    """Where runs are published and asked about. The module's docstring says what every store must keep."""

    @property
    def location(self) -> str:
        """Where the database lies, for a person; never a secret."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def publish(self, publication: Publication, progress: Progress | None = None) -> str:
        """Store a run whole, make it live and return its key; a run that is stored already is confirmed.

        Raises DataError when the publication is not consistent (before anything is written), StoreError when the store
        refuses it, RunDirectoryError when the disk is full.
        """
        ...

    def add(self, addition: Addition, progress: Progress | None = None) -> str:
        """Store an addition to a run whole and return its key; one that is stored already is confirmed.

        Raises DataError when its rows are not consistent with each other and with the run (before anything is written),
        StoreError when the run is not there or not wholly loaded, or the same key holds other rows.
        """
        ...

    def additions(self, run: str) -> list[AdditionInfo]:
        """The additions to a run, oldest first, those that are still loading included. Raises StoreError."""
        ...

    def runs(self) -> list[RunInfo]:
        """The stored runs of all data sets, oldest publication first, those that are still loading included."""
        ...

    def live_run(self, dataset: str = "") -> str | None:
        """The key of the live run of a data set (its key), or None when none is published.

        Without `dataset`, of the only one: StoreError when there are several.
        """
        ...

    def go_live(self, run: str) -> None:
        """Send readers of the run's data set to this run, at once: back to an older one or on. Raises StoreError."""
        ...

    def retire(self, run: str) -> None:
        """Remove a run that is not live, with its patterns, edges and additions. Raises StoreError when it is.

        Instances, classes and labels belong to the data set and stay, but for added images that no other run has.
        """
        ...

    def query(
        self,
        query: str | NamedQuery,
        params: Mapping[str, Any] | None = None,
        *,
        limit: int = ROW_LIMIT,
        timeout_s: float = TIMEOUT_S,
    ) -> pa.Table:
        """Answer one reading Cypher query with at most `limit` rows; `is_truncated` tells whether there were more.

        Whole numbers are int64, other numbers float64. Raises StoreError, in one sentence, when the text writes, has a
        syntax error or asks for nodes instead of properties, when a parameter is missing or unknown, when $run or
        $other is a run of an older schema, and at the timeout.
        """
        ...

    def resolve_instance(self, source_id: str, run: str) -> str:
        """The key of the instance, of any split, that the user knows by this id, in the run's data set.

        Raises ConfigError.
        """
        ...

    def export(self, run: str) -> HierarchyGraph:
        """The hierarchy of a run, read from its edges: equal, bit for bit, to the published one. Raises StoreError."""
        ...

    def close(self) -> None:
        """Release what is held open; the store can be used again."""
        ...


def instance_key(dataset: str, idx: int) -> str:
    """The key of an instance."""
    return f"{dataset}/{idx:0{INSTANCE_DIGITS}d}"


def dataset_of(run: str) -> str:
    """The key of a run's data set."""
    return run.rpartition(":")[0]


def folder_name(run: str) -> str:
    """A name for files about a run, another one for each run of each data set."""
    return f"{fingerprint(run)[:8]}-{run.rpartition(':')[2]}"


def is_truncated(table: pa.Table) -> bool:
    """Whether an answer of `GraphStore.query` had more rows than its limit."""
    return (table.schema.metadata or {}).get(TRUNCATED) == b"true"
