"""Publication -> one Arrow table for each node and edge type, checked before anything is written.

These tables, as Parquet, are the source of truth; a graph database is an index that can be built from them again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from csrms_dist.errors import DataError
from csrms_dist.hierarchy.graph import ROLE_DOMINATES, ROLE_NAMES, HierarchyGraph
from csrms_dist.hierarchy.pattern_counts import assemble, pattern_counts, pattern_shares, stored_rows, top_shares
from csrms_dist.hierarchy.relations import looks_like
from csrms_dist.hierarchy.snapshot import equal, fingerprint_of
from csrms_dist.run_directory import canonical_json, fingerprint
from graphstore.schema import SCHEMA_VERSION, NodeType, Schema
from graphstore.store import Publication

Tables: TypeAlias = dict[str, pa.Table]

INSTANCE_DIGITS = 12
_REMEDY = "nothing was written; correct what is published"


def _refuse(what: str, got: str, expected: str) -> DataError:
    return DataError(what, got=got, expected=expected, remedy=_REMEDY)


def instance_keys(dataset_key: str, idx: npt.NDArray[np.integer]) -> pa.Array:
    """`<dataset>/<idx, 12 digits>` of (N,) dense indices, as an Arrow string array."""
    digits = pc.utf8_lpad(pc.cast(pa.array(idx), pa.string()), width=INSTANCE_DIGITS, padding="0")
    return pc.binary_join_element_wise(pa.scalar(dataset_key), digits, "/")


def _numbered(prefix: str, idx: npt.NDArray[np.integer]) -> pa.Array:
    """`<prefix>#<idx>`, the keys of classes and patterns."""
    return pc.binary_join_element_wise(pa.scalar(prefix), pc.cast(pa.array(idx), pa.string()), "#")


def content_fingerprint(publication: Publication) -> str:
    """What must not differ when a run is published again: names, ids and every array of the hierarchy."""
    names = [publication.dataset_key, list(publication.class_names), list(publication.ids), list(publication.split)]
    return fingerprint(names, fingerprint_of(publication.hierarchy))


def check_publication(publication: Publication) -> None:
    """Raise DataError unless names, lengths and the hierarchy's arrays agree with each other."""
    graph = publication.hierarchy
    for what, text, least in (
        ("content_hash", publication.content_hash, 8),
        ("fingerprint", publication.fingerprint, 16),
    ):
        if not re.fullmatch(f"[0-9a-f]{{{least},}}", text):
            raise _refuse(f"{what} of the publication", repr(text), f"at least {least} hexadecimal digits")
    for what, values, length in (
        ("class_names", publication.class_names, graph.n_classes),
        ("ids", publication.ids, graph.n_rows),
        ("split", publication.split, graph.n_rows),
        ("uris", publication.uris, graph.n_rows),
    ):
        if len(values) != length:
            raise _refuse(f"{what} of the publication", f"{len(values)} values", f"{length}, as in the hierarchy")
    _check_distinct("class_names", publication.class_names)
    _check_distinct("ids", publication.ids)
    held_out = sorted(set(publication.split) - {"train"})
    if held_out:
        raise _refuse(
            "split of the publication", repr(held_out[0]), "'train' alone, because counts are of training rows"
        )
    if not np.isfinite(publication.vigilance):
        raise _refuse("vigilance of the publication", str(publication.vigilance), "a finite number")
    try:
        canonical_json(dict(publication.params))
    except (TypeError, ValueError) as error:
        raise _refuse("params of the publication", str(error), "finite values that JSON can hold") from error
    _check_hierarchy(graph)


def _check_distinct(what: str, values: Sequence[str]) -> None:
    if len(set(values)) != len(values):
        seen: set[str] = set()
        twice = next(value for value in values if value in seen or seen.add(value))  # type: ignore[func-returns-value]
        raise _refuse(f"{what} of the publication", f"{twice!r} twice", "distinct names")


def _check_hierarchy(graph: HierarchyGraph) -> None:
    if graph.n_rows == 0 or graph.instance[0] < 0 or (np.diff(graph.instance) <= 0).any():
        raise _refuse("hierarchy.instance", "indices out of order", "0 or more, strictly ascending")
    if int(graph.instance[-1]) >= 10**INSTANCE_DIGITS:
        raise _refuse("hierarchy.instance", str(graph.instance[-1]), f"at most {INSTANCE_DIGITS} digits")
    if not np.isfinite(graph.score).all():
        raise _refuse("hierarchy.score", "a value that is not finite", "finite numbers")
    inside = graph.pattern.min() >= 0 and graph.pattern.max() == graph.n_patterns - 1
    if not inside or not np.bincount(graph.pattern).all():
        raise _refuse("hierarchy.pattern", "a pattern without rows or out of range", f"0..{graph.n_patterns - 1}")
    counts = pattern_counts(graph.pattern, graph.membership)
    again = assemble(
        graph.pattern, graph.score, graph.membership, graph.instance, counts, graph.role,
 multi_label=graph.multi_label, dominance_threshold=graph.dominance_threshold
    )  # fmt: skip
    if graph.role.nnz != counts.nnz or not equal(again, graph):
        raise _refuse(
            "the hierarchy", "counts, members or difficulties of other rows", "those of its patterns and labels"
        )
    above = pattern_shares(counts, graph.sizes).data > graph.dominance_threshold
    if not np.array_equal(above, graph.role.data == ROLE_DOMINATES) or graph.role.data.max(initial=0) >= len(
        ROLE_NAMES
    ):
        raise _refuse("hierarchy.role", "roles that the shares contradict", "a role for each count, from the threshold")


def publication_tables(publication: Publication, schema: Schema) -> Tables:
    """The rows of one run, a table for each type of `schema`, by its `table` name. Raises DataError."""
    check_publication(publication)
    try:
        columns = _columns(publication)
        tables = {
            kind.table: publication.extra[kind.table]
            if kind.table in publication.extra
            else pa.table(columns.get(kind.table, {name: [] for name in kind.arrow().names}), schema=kind.arrow())
            for kind in schema.types
        }
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, OverflowError) as error:
        raise _refuse("a name or a number of the publication", str(error), "UTF-8 text and 64-bit numbers") from error
    unknown = sorted(set(publication.extra) - set(tables))
    if unknown:
        raise _refuse("extra of the publication", repr(unknown[0]), "names of tables of the store's schema")
    check_tables(tables, schema)
    return tables


def _columns(publication: Publication) -> dict[str, dict[str, Any]]:
    graph, dataset, run = publication.hierarchy, publication.dataset_key, publication.run_key
    classes = _numbered(dataset, np.arange(graph.n_classes))
    patterns = _numbered(run, np.arange(graph.n_patterns))
    instances = instance_keys(dataset, graph.instance)
    alike = looks_like(graph)
    shares = pattern_shares(graph.counts, graph.sizes)

    def repeated(value: str, length: int) -> pa.Array:
        return pa.array([value], pa.string()).take(pa.array(np.zeros(length, np.int64)))

    return {
        "Dataset": {
            "key": [dataset],
            "name": [publication.dataset],
            "version": [publication.content_hash],
            "multi_label": [graph.multi_label],
            "n_instances": [graph.n_rows],
            "n_classes": [graph.n_classes],
            "live_run": [run],
            "schema_version": [SCHEMA_VERSION],
        },
        "Class": {
            "key": classes,
            "dataset": repeated(dataset, graph.n_classes),
            "idx": np.arange(graph.n_classes),
            "name": list(publication.class_names),
        },
        "Instance": {
            "key": instances,
            "dataset": repeated(dataset, graph.n_rows),
            "idx": graph.instance,
            "source_id": list(publication.ids),
            "split": list(publication.split),
            "uri": list(publication.uris),
        },
        "Run": {
            "key": [run],
            "dataset": [dataset],
            "status": ["ready"],
            "created_ms": [publication.created_ms],
            "params_json": [canonical_json(dict(publication.params))],
            "vigilance": [float(publication.vigilance)],
            "dominance_threshold": [graph.dominance_threshold],
            "features_uri": [publication.features_uri],
            "prototypes_uri": [publication.prototypes_uri],
            "n_patterns": [graph.n_patterns],
        },
        "Pattern": {
            "key": patterns,
            "run": repeated(run, graph.n_patterns),
            "idx": np.arange(graph.n_patterns),
            "size": graph.sizes,
            "dominated": graph.dominated,
            "top_share": top_shares(graph.counts, graph.sizes),
        },
        "Pattern.OF_RUN.Run": {"from": patterns, "to": repeated(run, graph.n_patterns)},
        "Run.OF_DATASET.Dataset": {"from": [run], "to": [dataset]},
        "Class.OF_DATASET.Dataset": {"from": classes, "to": repeated(dataset, graph.n_classes)},
        "Instance.HAS_LABEL.Class": {
            "from": instances.take(pa.array(stored_rows(graph.membership))),
            "to": classes.take(pa.array(graph.membership.indices)),
        },
        "Instance.IN_PATTERN.Pattern": {
            "from": instances,
            "to": patterns.take(pa.array(graph.pattern)),
            "score": graph.score,
            "difficulty": graph.difficulty,
        },
        "Pattern.COVERS.Class": {
            "from": patterns.take(pa.array(stored_rows(graph.counts))),
            "to": classes.take(pa.array(graph.counts.indices)),
            "n": graph.counts.data,
            "share": shares.data,
            "role": pa.array(ROLE_NAMES).take(pa.array(graph.role.data)),
        },
        "Class.LOOKS_LIKE.Class": {
            "from": classes.take(pa.array(stored_rows(alike))),
            "to": classes.take(pa.array(alike.indices)),
            "run": repeated(run, alike.nnz),
            "weight": alike.data,
        },
    }


def check_tables(tables: Mapping[str, pa.Table], schema: Schema) -> None:
    """Raise DataError unless every table has its type's columns, no null, unique keys and no dangling end.

    A bulk load into a database may crash on these, or store them; so they are found here.
    """
    for kind in schema.types:
        table = tables[kind.table]
        if not table.schema.equals(kind.arrow()):
            raise _refuse(f"columns of {kind.table}", str(table.schema), str(kind.arrow()))
        nulls = [name for name in table.column_names if table[name].null_count]
        if nulls:
            raise _refuse(f"{kind.table}.{nulls[0]}", "a null", "a value in every row")
        unique_by = [kind.key] if isinstance(kind, NodeType) else list(kind.unique_by)
        n_distinct = table.select(unique_by).group_by(unique_by).aggregate([]).num_rows
        if n_distinct != table.num_rows:
            raise _refuse(kind.table, f"{table.num_rows - n_distinct} rows too many", f"one for each {unique_by}")
    keys = {kind.label: tables[kind.table][kind.key] for kind in schema.nodes}
    for edge in schema.edges:
        for end, label in (("from", edge.source), ("to", edge.target)):
            ends = pc.unique(tables[edge.table][end])
            dangling = ends.filter(pc.invert(pc.is_in(ends, keys[label].combine_chunks())))
            if len(dangling):
                raise _refuse(f"{edge.table}.{end}", repr(dangling[0].as_py()), f"the key of a {label}")


_LATEST = {"Dataset": ("n_instances", "live_run"), "Instance": ("uri",)}
"""What may differ between runs of one dataset; the newest counts."""


def merged(runs: Sequence[Tables], schema: Schema, live_run: str) -> Tables:
    """The tables of several runs of one dataset, the newest first, as one set in which each shared row stands once.

    Raises DataError when two runs say different things of the same node or edge.
    """
    combined = {
        kind.table: _distinct([tables[kind.table] for tables in runs], _LATEST.get(kind.table, ()))
        for kind in schema.types
    }
    dataset = _replaced(combined["Dataset"], "live_run", live_run)
    combined["Dataset"] = _replaced(dataset, "n_instances", combined["Instance"].num_rows)
    check_tables(combined, schema)
    return combined


def _replaced(table: pa.Table, name: str, value: str | int) -> pa.Table:
    field = table.schema.field(name)
    column = pa.array([value] * table.num_rows, field.type)
    return table.set_column(table.schema.get_field_index(name), field, column)


def _distinct(tables: Sequence[pa.Table], latest: Sequence[str]) -> pa.Table:
    if len(tables) == 1:
        return tables[0]
    names = tables[0].column_names
    table = pa.concat_tables(tables)
    groups = table.group_by([name for name in names if name not in latest], use_threads=False)
    first = groups.aggregate([(name, "first") for name in latest])
    columns = [first[f"{name}_first" if name in latest else name] for name in names]
    return pa.table(columns, names=names).cast(tables[0].schema)
