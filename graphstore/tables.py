"""Publication -> the rows of each node and edge type, checked before anything is written.

These tables, as Parquet, are the source of truth; a graph database is an index that can be built from them again. Rows
are made and read block by block: no table that grows with the instances is in memory as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from csrms_dist.artefacts.fingerprints import canonical_json
from csrms_dist.basics.arrays import F32, I64
from csrms_dist.hierarchy.csr import stored_rows
from csrms_dist.hierarchy.graph import ROLE_NAMES, HierarchyGraph
from csrms_dist.hierarchy.look_alikes import look_alikes
from csrms_dist.hierarchy.pattern_counts import own_shares, pattern_shares, top_shares
from csrms_dist.hierarchy.snapshot import fingerprint_of
from csrms_dist.labels import Membership
from graphstore.checks import check_publication, check_tables, refused
from graphstore.figures import Figures
from graphstore.rows import Rows, Tables, repeated, strings, text_blocks
from graphstore.schema import Schema
from graphstore.store import INSTANCE_DIGITS, HeldOut, Publication


def instance_keys(dataset_key: str, idx: npt.NDArray[np.integer]) -> pa.Array:
    """`<dataset>/<idx, 12 digits>` of (N,) dense indices, as an Arrow string array."""
    digits = pc.utf8_lpad(pc.cast(pa.array(idx), pa.string()), width=INSTANCE_DIGITS, padding="0")
    return pc.binary_join_element_wise(pa.scalar(dataset_key), digits, "/")


def numbered(prefix: str, idx: npt.NDArray[np.integer]) -> pa.Array:
    """`<prefix>#<idx>`, the keys of classes and patterns."""
    return pc.binary_join_element_wise(pa.scalar(prefix), pc.cast(pa.array(idx), pa.string()), "#")


def content_fingerprint(publication: Publication) -> str:
    """A digest of what must not differ when a run is published again: names, ids and every array of the hierarchy."""
    digest = sha256()
    # The canonical JSON of [[dataset key, class names, ids, split], digest of the hierarchy], piece by piece.
    digest.update(
        f"[[{canonical_json(publication.dataset_key)},{canonical_json(list(publication.class_names))}".encode()
    )
    parts = [publication.ids, publication.split]
    if publication.held_out:
        parts += [publication.held_out.ids, publication.held_out.split]
    for values in parts:
        digest.update(b",[")
        for number, block in enumerate(text_blocks(values)):
            digest.update(b"," * (number > 0) + canonical_json(block.to_pylist())[1:-1].encode())
        digest.update(b"]")
    digest.update(f"],{json.dumps(fingerprint_of(publication.hierarchy))}]".encode())
    if publication.held_out:
        _digest_arrays(digest, publication.held_out)
    return digest.hexdigest()[:32]


def _digest_arrays(digest: Any, others: HeldOut) -> None:
    labels = others.membership
    for values, kind in (
        (others.instance, np.int64), (others.pattern, np.int32), (others.score, np.float32),
        (labels.indptr, np.int64), (labels.indices, np.int64),
    ):  # fmt: skip
        digest.update(np.ascontiguousarray(values, kind).view(np.uint8).data)


def publication_tables(publication: Publication, schema: Schema) -> Tables:
    """The rows of one run for each type of `schema` but those of additions, by its `table` name. Raises DataError."""
    check_publication(publication)
    tables: Tables = {}
    try:
        made = _rows(publication, schema.version)
        for kind in schema.types:
            if schema.of_addition(kind):
                continue
            if kind.table in publication.extra:
                tables[kind.table] = Rows.of(publication.extra[kind.table])
            elif kind.table in made:
                tables[kind.table] = _typed(made[kind.table], kind.arrow())
                tables[kind.table].make(0, min(1, tables[kind.table].n))  # a number or a name that Arrow refuses
            else:
                tables[kind.table] = Rows.of(kind.arrow().empty_table())
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, OverflowError) as error:
        raise refused("a name or a number of the publication", str(error), "UTF-8 text and 64-bit numbers") from error
    unknown = sorted(set(publication.extra) - set(tables))
    if unknown:
        raise refused(
            "extra of the publication",
            repr(unknown[0]),
            "names of tables of the store's schema, not those of additions",
        )
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


def _one_after_the_other(parts: Sequence[Columns]) -> Columns:
    """Parts of one table as one."""
    ends = np.cumsum([n for n, _ in parts]).tolist()

    def make(start: int, stop: int) -> dict[str, Any]:
        spans = [(max(start - end + n, 0), min(stop, end) - end + n) for (n, _), end in zip(parts, ends, strict=True)]
        found = [part(*span) for (_, part), span in zip(parts, spans, strict=True) if span[0] < span[1]]
        if len(found) < 2:
            return found[0] if found else parts[0][1](0, 0)
        return {name: pa.chunked_array([pa.array(part[name]) for part in found]) for name in found[0]}

    return ends[-1], make


def _rows(publication: Publication, version: int) -> dict[str, Columns]:
    graph, dataset, run = publication.hierarchy, publication.dataset_key, publication.run_key
    classes = numbered(dataset, np.arange(graph.n_classes))
    patterns = numbered(run, np.arange(graph.n_patterns))
    alike = look_alikes(graph)
    counts, others = graph.counts, publication.held_out

    def instances(names: Publication | HeldOut, instance: I64) -> Columns:
        return len(instance), lambda start, stop: {
            "key": instance_keys(dataset, instance[start:stop]),
            "dataset": repeated(dataset, stop - start),
            "idx": instance[start:stop],
            "source_id": strings(names.ids, start, stop),
            "split": strings(names.split, start, stop),
            "uri": strings(names.uris, start, stop),
        }

    def has_label(labels: Membership, instance: I64) -> Columns:
        def make(start: int, stop: int) -> dict[str, Any]:
            rows = np.searchsorted(labels.indptr, np.arange(start, stop), side="right") - 1
            return {
                "from": instance_keys(dataset, instance[rows]),
                "to": classes.take(pa.array(labels.indices[start:stop])),
            }

        return labels.nnz, make

    def in_pattern(rows: HierarchyGraph | HeldOut, difficulty: F32, figures: Figures | None) -> Columns:
        beside = figures or Figures.none(len(rows.instance))
        return len(rows.instance), lambda start, stop: {
            "from": instance_keys(dataset, rows.instance[start:stop]),
            "to": patterns.take(pa.array(rows.pattern[start:stop])),
            "score": rows.score[start:stop],
            "difficulty": difficulty[start:stop],
            **beside.columns(start, stop, publication.class_names),
        }

    made = {
        "Instance": [instances(publication, graph.instance)],
        "Instance.HAS_LABEL.Class": [has_label(graph.membership, graph.instance)],
        "Instance.IN_PATTERN.Pattern": [in_pattern(graph, graph.difficulty, publication.figures)],
    }
    if others:
        own = own_shares(others.pattern, others.membership, counts, graph.sizes)
        made["Instance"].append(instances(others, others.instance))
        made["Instance.HAS_LABEL.Class"].append(has_label(others.membership, others.instance))
        made["Instance.IN_PATTERN.Pattern"].append(in_pattern(others, (1.0 - own).astype(np.float32), others.figures))

    return {
        **{table: _one_after_the_other(parts) for table, parts in made.items()},
        "Dataset": _whole(
            key=[dataset],
            name=[publication.dataset],
            version=[publication.content_hash],
            multi_label=[graph.multi_label],
            n_instances=[publication.n_instances],
            n_classes=[graph.n_classes],
            live_run=[run],
            schema_version=[version],
        ),
        "Class": _whole(
            key=classes,
            dataset=repeated(dataset, graph.n_classes),
            idx=np.arange(graph.n_classes),
            name=list(publication.class_names),
        ),
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
            schema_version=[version],
        ),
        "Pattern": _whole(
            key=patterns,
            run=repeated(run, graph.n_patterns),
            idx=np.arange(graph.n_patterns),
            size=graph.sizes,
            dominated=graph.dominated,
            top_share=top_shares(counts, graph.sizes),
        ),
        "Pattern.OF_RUN.Run": _whole(from_=patterns, to=repeated(run, graph.n_patterns)),
        "Run.OF_DATASET.Dataset": _whole(from_=[run], to=[dataset]),
        "Class.OF_DATASET.Dataset": _whole(from_=classes, to=repeated(dataset, graph.n_classes)),
        "Pattern.COVERS.Class": _whole(
            from_=patterns.take(pa.array(stored_rows(counts))),
            to=classes.take(pa.array(counts.indices)),
            n=counts.data,
            share=pattern_shares(counts, graph.sizes).data,
            role=pa.array(ROLE_NAMES).take(pa.array(graph.role.data)),
        ),
        "Class.LOOKS_LIKE.Class": _whole(
            from_=classes.take(pa.array(alike.source)),
            to=classes.take(pa.array(alike.target)),
            run=repeated(run, len(alike)),
            weight=alike.weight,
            reverse=alike.reverse,
            lift=alike.lift,
            images=alike.images,
            bound=alike.bound,
        ),
    }
