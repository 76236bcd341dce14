"""The hierarchy of a stored run, read back from its edges; the same Cypher on every store."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.arrays import I32, I64, Matrix
from csrms_dist.errors import ConfigError, StoreError
from csrms_dist.hierarchy import snapshot
from csrms_dist.hierarchy.build import assemble
from csrms_dist.hierarchy.csr import canonical_csr
from csrms_dist.hierarchy.graph import ROLE_NAMES, Csr, HierarchyGraph
from graphstore.store import INSTANCE_DIGITS, AdditionInfo, GraphStore, RunInfo, folder_name, instance_key

RANGE = 1 << 16
"""Dense indices of instances whose edges are read at once."""


_RANGE = "<range>"


@dataclass(frozen=True)
class Columns:
    """A query that returns plain columns without nulls, and the two ways in which an engine may be asked it.

    by_rows: in rows, instances chosen by data set and index, which the embedded engine scans fastest. by_lists: in one
    row of lists, instances chosen by key, which Neo4j has an index of.
    """

    match: str
    columns: tuple[tuple[str, str], ...]

    @property
    def by_rows(self) -> str:
        chosen = self.match.replace(_RANGE, "i.dataset = $dataset AND i.idx >= $start AND i.idx < $stop")
        return chosen + "RETURN " + ", ".join(f"{value} AS {name}" for name, value in self.columns)

    @property
    def by_lists(self) -> str:
        chosen = self.match.replace(_RANGE, "i.key >= $first AND i.key < $last")
        return chosen + "RETURN " + ", ".join(f"collect({value}) AS {name}" for name, value in self.columns)


Read = Callable[[str | Columns, Mapping[str, Any]], pa.Table]
"""(Cypher, parameters) -> all rows."""

RUNS = """
MATCH (r:Run)-[:OF_DATASET]->(d:Dataset)
OPTIONAL MATCH (p:Pattern {run: r.key})
RETURN r.key AS key, d.name AS dataset, d.key AS dataset_key, r.status AS status, d.live_run = r.key AS live,
  r.created_ms AS created_ms, r.params_json AS params_json, r.vigilance AS vigilance,
  r.dominance_threshold AS dominance_threshold, r.features_uri AS features_uri, r.prototypes_uri AS prototypes_uri,
  sum(p.size) AS n_instances, r.n_patterns AS n_patterns, d.n_classes AS n_classes, d.multi_label AS multi_label,
  coalesce(r.schema_version, 2) AS schema_version
ORDER BY created_ms, key
"""
ADDITIONS = """
MATCH (a:Addition {run: $run})
RETURN a.key AS key, a.run AS run, a.kind AS kind, a.fingerprint AS fingerprint, a.status AS status,
  a.created_ms AS created_ms, a.params_json AS params_json
ORDER BY created_ms, key
"""
FIRST_INSTANCE = """
MATCH (i:Instance)
WHERE i.key >= $first AND i.key < $last AND i.dataset = $dataset
RETURN i.idx AS idx, i.key AS key
ORDER BY key
LIMIT 1
"""
IN_PATTERN = Columns(
    """
MATCH (i:Instance)-[e:IN_PATTERN]->(p:Pattern {run: $run})
WHERE <range> AND i.split = 'train'
""",
    (("instance", "i.idx"), ("pattern", "p.idx"), ("score", "e.score"), ("difficulty", "e.difficulty")),
)
HAS_LABEL = Columns(
    """
MATCH (i:Instance)-[:HAS_LABEL]->(c:Class)
WHERE <range> AND i.split = 'train'
""",
    (("instance", "i.idx"), ("class", "c.idx")),
)
COVERS = Columns(
    """
MATCH (p:Pattern {run: $run})-[e:COVERS]->(c:Class)
""",
    (("pattern", "p.idx"), ("class", "c.idx"), ("n", "e.n"), ("role", "e.role")),
)
PATTERNS = Columns(
    """
MATCH (p:Pattern {run: $run})
""",
    (("pattern", "p.idx"), ("size", "p.size"), ("dominated", "p.dominated")),
)
EXAMPLE_ID = """
MATCH (i:Instance)
WHERE i.key >= $first AND i.key <= $last
RETURN i.source_id AS id
ORDER BY i.key
LIMIT 1
"""
INSTANCE_BY_ID = """
MATCH (i:Instance {source_id: $id})
WHERE i.dataset = $dataset
RETURN i.key AS key
"""


def read_runs(read: Read) -> list[RunInfo]:
    """The runs of a store, in order of `created_ms`, then key."""
    rows = read(RUNS, {}).to_pylist()
    return [RunInfo(params=json.loads(row.pop("params_json")), **row) for row in rows]


def read_additions(read: Read, run: str) -> list[AdditionInfo]:
    """The additions to a run, in order of `created_ms`, then key."""
    rows = read(ADDITIONS, {"run": run}).to_pylist()
    return [AdditionInfo(params=json.loads(row.pop("params_json")), **row) for row in rows]


def read_instance(read: Read, source_id: str, dataset: str) -> str:
    """The key of the instance that the user knows by this id. Raises ConfigError when the data set has none."""
    found = read(INSTANCE_BY_ID, {"id": source_id, "dataset": dataset})
    if not found.num_rows:
        keys = {"first": instance_key(dataset, 0), "last": instance_key(dataset, 10**INSTANCE_DIGITS - 1)}
        such = "".join(f", such as {name!r}" for name in read(EXAMPLE_ID, keys)["id"].to_pylist())
        raise ConfigError(
            "the instance", got=repr(source_id), expected=f"an id of {dataset}{such}",
            remedy="instances that could not be read are not stored",
        )  # fmt: skip
    return str(found["key"][0].as_py())


def _sorted(table: pa.Table, *by: str) -> dict[str, Matrix]:
    columns = {name: table[name].to_numpy() for name in table.column_names}
    order = np.lexsort([columns[name] for name in reversed(by)])
    return {name: values[order] for name, values in columns.items()}


def _csr(rows: I64, columns: I64, data: Matrix, shape: Any) -> Csr:
    return canonical_csr(data, columns, np.searchsorted(rows, np.arange(shape[0] + 1)), shape)


def read_hierarchy(read: Read, run: RunInfo) -> HierarchyGraph:
    """G_t of one run from its IN_PATTERN, HAS_LABEL and COVERS edges: equal to what was published, float32 included.

    Raises StoreError when the edges contradict the counts stored beside them.
    """
    params = {"run": run.key, "dataset": run.dataset_key}
    instance = np.empty(run.n_instances, np.int64)
    pattern = np.empty(run.n_instances, np.int32)
    score, difficulty = np.empty(run.n_instances, np.float32), np.empty(run.n_instances, np.float32)
    degrees = np.zeros(run.n_instances + 1, np.int64)
    labels: list[I32] = []
    done = 0
    with ThreadPoolExecutor(1) as beside:  # a server answers two questions at a time
        for span in _spans(read, run.dataset_key):
            carrying = beside.submit(read, HAS_LABEL, params | span)
            members = _sorted(read(IN_PATTERN, params | span), "instance")
            carried = _sorted(carrying.result(), "instance", "class")
            found = len(members["instance"])
            if done + found > run.n_instances:
                break
            part = slice(done, done + found)
            instance[part], pattern[part] = members["instance"], members["pattern"]
            score[part], difficulty[part] = members["score"], members["difficulty"]
            ours = np.isin(carried["instance"], members["instance"])  # the data set may hold more than this run
            rows = np.searchsorted(members["instance"], carried["instance"][ours])
            degrees[done + 1 : done + found + 1] = np.bincount(rows, minlength=found)
            labels.append(carried["class"][ours].astype(np.int32))
            done += found
    covers = _sorted(read(COVERS, params), "pattern", "class")
    patterns = _sorted(read(PATTERNS, params), "pattern")
    shape = (run.n_patterns, run.n_classes)
    sizes = np.bincount(pattern[:done], minlength=run.n_patterns)
    if done != run.n_instances or not np.array_equal(sizes, patterns["size"]):
        raise StoreError(
            f"run {run.key}", got="other IN_PATTERN edges than its patterns count", remedy="publish it again"
        )
    classes = np.concatenate([np.zeros(0, np.int32), *labels])
    membership = canonical_csr(np.ones(len(classes), np.uint8), classes, np.cumsum(degrees), (done, run.n_classes))
    roles = np.array([ROLE_NAMES.index(name) for name in covers["role"]], np.int8)
    graph = assemble(
        pattern,
        score,
        membership,
        instance,
        _csr(covers["pattern"], covers["class"], covers["n"].astype(np.int64), shape),
        _csr(covers["pattern"], covers["class"], roles, shape),
        multi_label=run.multi_label,
        dominance_threshold=run.dominance_threshold,
    )
    return dataclasses.replace(graph, difficulty=difficulty, dominated=patterns["dominated"].astype(np.bool_))


def cached_snapshot(store: GraphStore, run: str, cache: str | Path) -> HierarchyGraph:
    """The hierarchy of a run, memory-mapped from the folder `cache`; exported from the store the first time.

    A stored run never changes, so what is cached under its fingerprint is right for ever, without a database. Raises
    StoreError when the store does not hold the run, RunDirectoryError when the folder cannot be written.
    """
    directory = RunDirectory(cache)
    name = folder_name(run)
    if not directory.is_done(name, run):
        graph = store.export(run)
        with directory.writing(name, run) as folder:
            snapshot.save(graph, folder)
    return snapshot.load(directory.open(name))


def _spans(read: Read, dataset: str) -> Iterator[dict[str, Any]]:
    """Ranges of indices, and of keys, that hold all instances: an answer is as large as its range, at the most."""
    start, end = 0, instance_key(dataset, 10**INSTANCE_DIGITS - 1) + "/"
    while True:
        found = read(FIRST_INSTANCE, {"dataset": dataset, "first": instance_key(dataset, start), "last": end})
        if not found.num_rows:
            return
        first = int(found["idx"][0].as_py())
        start = first + RANGE
        last = instance_key(dataset, start) if start < 10**INSTANCE_DIGITS else end
        yield {"first": instance_key(dataset, first), "last": last, "start": first, "stop": start}
