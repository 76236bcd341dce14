"""Publication -> the rows of each node and edge type, checked before anything is written.

These tables, as Parquet, are the source of truth; a graph database is an index that can be built from them again. Rows
are made and read block by block: no table that grows with the instances is in memory as a whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from csrms_dist.artefacts.fingerprints import canonical_json
from csrms_dist.errors import DataError
from csrms_dist.hierarchy.graph import ROLE_DOMINATES, ROLE_NAMES, HierarchyGraph
from csrms_dist.hierarchy.pattern_counts import assemble, pattern_counts, pattern_shares, stored_rows, top_shares
from csrms_dist.hierarchy.relations import looks_like
from csrms_dist.hierarchy.snapshot import equal, fingerprint_of
from graphstore.schema import SCHEMA_VERSION, EdgeType, NodeType, Schema
from graphstore.store import INSTANCE_DIGITS, Publication, Repeated, Texts

BLOCK = 1 << 16
"""Rows of a block, and of a row group of the files."""


@dataclass(frozen=True)
class Rows:
    """The rows of one type. make: (start, stop) -> the rows start..stop as an Arrow table."""

    n: int
    make: Callable[[int, int], pa.Table]

    @classmethod
    def of(cls, table: pa.Table) -> Rows:
        return cls(table.num_rows, lambda start, stop: table.slice(start, stop - start))

    def blocks(self) -> Iterator[pa.Table]:
        """All rows, BLOCK at a time; one empty block if there is none."""
        for start in range(0, max(self.n, 1), BLOCK):
            yield self.make(start, min(self.n, start + BLOCK))

    def table(self) -> pa.Table:
        """All rows at once."""
        return self.make(0, self.n)


Tables: TypeAlias = dict[str, Rows]

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


def _blocks(values: Texts) -> Iterator[pa.Array]:
    """Texts as Arrow strings, BLOCK at a time."""
    for start in range(0, len(values), BLOCK):
        yield _strings(values, start, start + BLOCK)


def _strings(values: Texts, start: int, stop: int) -> pa.Array:
    part = values[start:stop]
    if isinstance(part, Repeated):
        return _repeated(part.text, len(part))
    if isinstance(part, pa.ChunkedArray):
        part = part.combine_chunks()
    return part.cast(pa.string()) if isinstance(part, pa.Array) else pa.array(list(part), pa.string())


def content_fingerprint(publication: Publication) -> str:
    """What must not differ when a run is published again: names, ids and every array of the hierarchy."""
    digest = sha256()
    # The canonical JSON of [[dataset key, class names, ids, split], digest of the hierarchy], piece by piece.
    digest.update(
        f"[[{canonical_json(publication.dataset_key)},{canonical_json(list(publication.class_names))}".encode()
    )
    for values in (publication.ids, publication.split):
        digest.update(b",[")
        for number, block in enumerate(_blocks(values)):
            digest.update(b"," * (number > 0) + canonical_json(block.to_pylist())[1:-1].encode())
        digest.update(b"]")
    digest.update(f"],{json.dumps(fingerprint_of(publication.hierarchy))}]".encode())
    return digest.hexdigest()[:32]


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
    try:
        for what, values in (("class_names", publication.class_names), ("ids", publication.ids)):
            twice = _first_repeated(values)
            if twice is not None:
                raise _refuse(f"{what} of the publication", f"{twice!r} twice", "distinct names")
        held_out = _other_than(publication.split, "train")
        if held_out is not None:
            raise _refuse(
                "split of the publication", repr(held_out), "'train' alone, because counts are of training rows"
            )
        for values in (publication.class_names, publication.ids, publication.uris):
            if any(block.null_count for block in _blocks(values)):
                raise _refuse("a name or a uri of the publication", "nothing", "text")
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, TypeError, AttributeError) as error:
        raise _refuse("a name of the publication", str(error), "UTF-8 text") from error
    if not np.isfinite(publication.vigilance):
        raise _refuse("vigilance of the publication", str(publication.vigilance), "a finite number")
    try:
        canonical_json(dict(publication.params))
    except (TypeError, ValueError) as error:
        raise _refuse("params of the publication", str(error), "finite values that JSON can hold") from error
    _check_hierarchy(graph)


def _first_repeated(values: Texts) -> str | None:
    """The first text that stands there a second time; by hashes, so that all texts are never in memory at once."""
    hashes = np.fromiter((hash(text) for block in _blocks(values) for text in block.to_pylist()), np.int64, len(values))
    order = np.argsort(hashes, kind="stable")
    tied = np.flatnonzero(np.diff(hashes[order]) == 0)
    seen: set[str] = set()
    for place in np.unique(order[np.concatenate([tied, tied + 1])]).tolist():
        text = str(_strings(values, place, place + 1)[0].as_py())
        if text in seen:
            return text
        seen.add(text)
    return None


def _other_than(values: Texts, text: str) -> str | None:
    """The first of the values that is not `text`."""
    for block in _blocks(values):
        others = block.filter(pc.not_equal(block, text))
        if len(others):
            return str(others[0].as_py())
    return None


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
    """The rows of one run for each type of `schema`, by its `table` name. Raises DataError."""
    check_publication(publication)
    tables: Tables = {}
    try:
        made = _rows(publication)
        for kind in schema.types:
            if kind.table in publication.extra:
                tables[kind.table] = Rows.of(publication.extra[kind.table])
            elif kind.table in made:
                tables[kind.table] = _typed(made[kind.table], kind.arrow())
                tables[kind.table].make(0, min(1, tables[kind.table].n))  # a number or a name that Arrow refuses
            else:
                tables[kind.table] = Rows.of(kind.arrow().empty_table())
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, OverflowError) as error:
        raise _refuse("a name or a number of the publication", str(error), "UTF-8 text and 64-bit numbers") from error
    unknown = sorted(set(publication.extra) - set(tables))
    if unknown:
        raise _refuse("extra of the publication", repr(unknown[0]), "names of tables of the store's schema")
    # Our own rows follow from what was checked: ascending indices, distinct names, canonical matrices.
    check_tables(tables, schema, publication.extra)
    return tables


Columns: TypeAlias = tuple[int, Callable[[int, int], dict[str, Any]]]
"""How many rows, and (start, stop) -> the columns of those."""


def _typed(columns: Columns, schema: pa.Schema) -> Rows:
    n, make = columns
    return Rows(n, lambda start, stop: pa.table(make(start, stop), schema=schema))


def _whole(**columns: Any) -> Columns:
    """Columns of a table that does not grow with the instances; `from_` is the column `from`."""
    named = {name.rstrip("_"): values for name, values in columns.items()}
    return len(next(iter(named.values()))), lambda start, stop: {k: values[start:stop] for k, values in named.items()}


def _repeated(value: str, length: int) -> pa.Array:
    return pa.array([value], pa.string()).take(pa.array(np.zeros(length, np.int64)))


def _rows(publication: Publication) -> dict[str, Columns]:
    graph, dataset, run = publication.hierarchy, publication.dataset_key, publication.run_key
    classes = _numbered(dataset, np.arange(graph.n_classes))
    patterns = _numbered(run, np.arange(graph.n_patterns))
    alike = looks_like(graph)
    counts, labels = graph.counts, graph.membership

    def instances(start: int, stop: int) -> dict[str, Any]:
        return {
            "key": instance_keys(dataset, graph.instance[start:stop]),
            "dataset": _repeated(dataset, stop - start),
            "idx": graph.instance[start:stop],
            "source_id": _strings(publication.ids, start, stop),
            "split": _strings(publication.split, start, stop),
            "uri": _strings(publication.uris, start, stop),
        }

    def has_label(start: int, stop: int) -> dict[str, Any]:
        rows = np.searchsorted(labels.indptr, np.arange(start, stop), side="right") - 1
        return {
            "from": instance_keys(dataset, graph.instance[rows]),
            "to": classes.take(pa.array(labels.indices[start:stop])),
        }

    def in_pattern(start: int, stop: int) -> dict[str, Any]:
        return {
            "from": instance_keys(dataset, graph.instance[start:stop]),
            "to": patterns.take(pa.array(graph.pattern[start:stop])),
            "score": graph.score[start:stop],
            "difficulty": graph.difficulty[start:stop],
        }

    return {
        "Dataset": _whole(
            key=[dataset],
            name=[publication.dataset],
            version=[publication.content_hash],
            multi_label=[graph.multi_label],
            n_instances=[graph.n_rows],
            n_classes=[graph.n_classes],
            live_run=[run],
            schema_version=[SCHEMA_VERSION],
        ),
        "Class": _whole(
            key=classes,
            dataset=_repeated(dataset, graph.n_classes),
            idx=np.arange(graph.n_classes),
            name=list(publication.class_names),
        ),
        "Instance": (graph.n_rows, instances),
        "Run": _whole(
            key=[run],
            dataset=[dataset],
            status=["ready"],
            created_ms=[publication.created_ms],
            params_json=[canonical_json(dict(publication.params))],
            vigilance=[float(publication.vigilance)],
            dominance_threshold=[graph.dominance_threshold],
            features_uri=[publication.features_uri],
            prototypes_uri=[publication.prototypes_uri],
            n_patterns=[graph.n_patterns],
            content=[content_fingerprint(publication)],
        ),
        "Pattern": _whole(
            key=patterns,
            run=_repeated(run, graph.n_patterns),
            idx=np.arange(graph.n_patterns),
            size=graph.sizes,
            dominated=graph.dominated,
            top_share=top_shares(counts, graph.sizes),
        ),
        "Pattern.OF_RUN.Run": _whole(from_=patterns, to=_repeated(run, graph.n_patterns)),
        "Run.OF_DATASET.Dataset": _whole(from_=[run], to=[dataset]),
        "Class.OF_DATASET.Dataset": _whole(from_=classes, to=_repeated(dataset, graph.n_classes)),
        "Instance.HAS_LABEL.Class": (labels.nnz, has_label),
        "Instance.IN_PATTERN.Pattern": (graph.n_rows, in_pattern),
        "Pattern.COVERS.Class": _whole(
            from_=patterns.take(pa.array(stored_rows(counts))),
            to=classes.take(pa.array(counts.indices)),
            n=counts.data,
            share=pattern_shares(counts, graph.sizes).data,
            role=pa.array(ROLE_NAMES).take(pa.array(graph.role.data)),
        ),
        "Class.LOOKS_LIKE.Class": _whole(
            from_=classes.take(pa.array(stored_rows(alike))),
            to=classes.take(pa.array(alike.indices)),
            run=_repeated(run, alike.nnz),
            weight=alike.data,
        ),
    }


def check_tables(tables: Mapping[str, Rows], schema: Schema, names: Collection[str]) -> None:
    """Raise DataError unless the tables of these names have their type's columns, no null, unique keys, no loose end.

    A bulk load into a database may crash on these, or store them; so they are found here.
    """
    for kind in schema.types:
        if kind.table in names:
            table = tables[kind.table].table()
            if not table.schema.equals(kind.arrow()):
                raise _refuse(f"columns of {kind.table}", str(table.schema), str(kind.arrow()))
            nulls = [name for name in table.column_names if table[name].null_count]
            if nulls:
                raise _refuse(f"{kind.table}.{nulls[0]}", "a null", "a value in every row")
            check_unique(table, kind)
    for edge in schema.edges:
        if edge.table in names:
            for end, label in (("from", edge.source), ("to", edge.target)):
                dangling = pc.unique(tables[edge.table].table()[end])
                for block in tables[label].blocks():
                    dangling = dangling.filter(pc.invert(pc.is_in(dangling, block["key"].combine_chunks())))
                if len(dangling):
                    raise _refuse(f"{edge.table}.{end}", repr(dangling[0].as_py()), f"the key of a {label}")


def check_unique(table: pa.Table, kind: NodeType | EdgeType) -> None:
    """Raise DataError when two rows have the same key or the same ends."""
    unique_by = [kind.key] if isinstance(kind, NodeType) else list(kind.unique_by)
    n_distinct = table.select(unique_by).group_by(unique_by).aggregate([]).num_rows
    if n_distinct != table.num_rows:
        raise _refuse(kind.table, f"{table.num_rows - n_distinct} rows too many", f"one for each {unique_by}")


_LATEST = {"Dataset": ("n_instances", "live_run"), "Instance": ("uri",)}
"""What may differ between runs of one dataset; the newest counts."""


def write_rows(rows: Rows, path: Path) -> None:
    """Write rows to a Parquet file, a row group for each block."""
    blocks = rows.blocks()
    first = next(blocks)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for block in blocks:
            writer.write_table(block)


def merged(runs: Sequence[Path], schema: Schema, live_run: str, folder: Path) -> dict[str, list[Path]]:
    """The Parquet files that make up one data set with several runs, by table: each shared row stands in them once.

    runs: folders of `<table>.parquet`, the newest first, each consistent in itself. Files serve as they are where all
    runs say the same (the newest's) or none shares a row with another (all of them); else one is made in `folder`.
    Raises DataError when two runs say different things of the same node or edge.
    """
    chosen: dict[str, list[Path]] = {}
    apart: set[str] = set()  # labels of whose nodes no two runs share one
    for kind in schema.types:
        files = [run / f"{kind.table}.parquet" for run in runs]
        latest = _LATEST.get(kind.table, ())
        if kind.table == "Dataset":
            chosen[kind.table] = files  # made below, when the number of instances is known
        elif all(_same_rows(files[0], other, latest) for other in files[1:]):
            chosen[kind.table] = files[:1]
        elif isinstance(kind, EdgeType) and apart & {kind.source, kind.target}:
            chosen[kind.table] = files
        elif isinstance(kind, NodeType) and _disjoint(files, kind.key):
            chosen[kind.table] = files
            apart.add(kind.label)
        else:
            table = _distinct([pq.read_table(file, partitioning=None) for file in files], latest)
            check_unique(table, kind)
            if isinstance(kind, EdgeType) and not schema.of_run(kind):
                _refuse_other_edges(table, kind, schema, runs)
            chosen[kind.table] = [folder / f"{kind.table}.parquet"]
            write_rows(Rows.of(table), chosen[kind.table][0])
    dataset = _distinct([pq.read_table(file, partitioning=None) for file in chosen["Dataset"]], _LATEST["Dataset"])
    check_unique(dataset, schema.nodes[0])
    dataset = _replaced(_replaced(dataset, "live_run", live_run), "n_instances", count_rows(chosen["Instance"]))
    chosen["Dataset"] = [folder / "Dataset.parquet"]
    write_rows(Rows.of(dataset), chosen["Dataset"][0])
    return chosen


def _refuse_other_edges(table: pa.Table, kind: EdgeType, schema: Schema, runs: Sequence[Path]) -> None:
    """Raise DataError when a node has edges of a shared type in one run that it has not in another that holds it."""
    key = schema.node(kind.source).key
    for run in runs:
        nodes = pq.read_table(run / f"{kind.source}.parquet", columns=[key], partitioning=None)[key].combine_chunks()
        found = pc.sum(pc.is_in(table["from"], nodes)).as_py() or 0
        own = pq.read_metadata(run / f"{kind.table}.parquet").num_rows
        if found != own:
            raise contradiction(kind.table, f"{found - own} rows more than this run has")


def contradiction(table: str, got: str) -> DataError:
    """The error for a run that says something else of its data set than a stored one."""
    return DataError(
        table, got=got, expected="what other runs of the data set say",
        remedy="nothing was changed; another content has another content_hash",
    )  # fmt: skip


def count_rows(files: Sequence[Path]) -> int:
    """The rows of some Parquet files, from their footers."""
    return sum(pq.read_metadata(file).num_rows for file in files)


def _same_rows(one: Path, other: Path, but: Sequence[str]) -> bool:
    """Whether two files hold the same rows in the same order and row groups, apart from the columns `but`."""
    with pq.ParquetFile(one, pre_buffer=False) as a, pq.ParquetFile(other, pre_buffer=False) as b:
        groups = range(a.metadata.num_row_groups)
        if [a.metadata.row_group(g).num_rows for g in groups] != [
            b.metadata.row_group(g).num_rows for g in range(b.metadata.num_row_groups)
        ]:
            return False
        columns = [name for name in a.schema_arrow.names if name not in but]
        return all(a.read_row_group(g, columns=columns).equals(b.read_row_group(g, columns=columns)) for g in groups)


def _disjoint(files: Sequence[Path], key: str) -> bool:
    keys = [pq.read_table(file, columns=[key], partitioning=None)[key].combine_chunks() for file in files]
    return not any(pc.any(pc.is_in(a, b)).as_py() for a, b in combinations(keys, 2))


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
