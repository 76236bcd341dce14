"""The checks of a publication and of its rows, before anything is written."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from csrms_dist.artefacts.fingerprints import canonical_json
from csrms_dist.errors import DataError
from csrms_dist.hierarchy.build import assemble
from csrms_dist.hierarchy.graph import ROLE_DOMINATES, ROLE_NAMES, HierarchyGraph
from csrms_dist.hierarchy.pattern_counts import pattern_counts, pattern_shares
from csrms_dist.hierarchy.snapshot import equal
from graphstore.figures import Figures
from graphstore.rows import Rows, strings, text_blocks
from graphstore.schema import EdgeType, NodeType, Schema
from graphstore.store import HELD_OUT_SPLITS, INSTANCE_DIGITS, HeldOut, Publication, Texts


def refused(what: str, got: str, expected: str) -> DataError:
    """The error for a publication that may not be stored."""
    return DataError(what, got=got, expected=expected, remedy="nothing was written; correct what is published")


def contradiction(table: str, got: str) -> DataError:
    """The error for a run that says something else of its data set than a stored one."""
    return DataError(
        table, got=got, expected="what other runs of the data set say",
        remedy="nothing was changed; another content has another content_hash",
    )  # fmt: skip


def check_publication(publication: Publication) -> None:
    """Raise DataError unless names, lengths and the hierarchy's arrays agree with each other."""
    graph = publication.hierarchy
    for what, text, least in (
        ("content_hash", publication.content_hash, 8),
        ("fingerprint", publication.fingerprint, 16),
    ):
        if not re.fullmatch(f"[0-9a-f]{{{least},}}", text):
            raise refused(f"{what} of the publication", repr(text), f"at least {least} hexadecimal digits")
    others = publication.held_out
    for what, values, length in (
        ("class_names", publication.class_names, graph.n_classes),
        ("ids", publication.ids, graph.n_rows),
        ("split", publication.split, graph.n_rows),
        ("uris", publication.uris, graph.n_rows),
    ):
        if len(values) != length:
            raise refused(f"{what} of the publication", f"{len(values)} values", f"{length}, as in the hierarchy")
    try:
        for what, *parts in (
            ("class_names", publication.class_names),
            ("ids", publication.ids, others.ids if others else ()),
        ):
            twice = _first_repeated(*parts)
            if twice is not None:
                raise refused(f"{what} of the publication", f"{twice!r} twice", "distinct names")
        held_out = _other_than(publication.split, "train")
        if held_out is not None:
            raise refused(
                "split of the publication", repr(held_out), "'train' alone, because counts are of training rows"
            )
        texts = [publication.class_names, publication.ids, publication.uris]
        if others:
            _check_splits(others)
            texts += [others.ids, others.uris]
        for values in texts:
            if any(block.null_count for block in text_blocks(values)):
                raise refused("a name or a uri of the publication", "nothing", "text")
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, TypeError, AttributeError) as error:
        raise refused("a name of the publication", str(error), "UTF-8 text") from error
    if not np.isfinite(publication.vigilance):
        raise refused("vigilance of the publication", str(publication.vigilance), "a finite number")
    try:
        canonical_json(dict(publication.params))
    except (TypeError, ValueError) as error:
        raise refused("params of the publication", str(error), "finite values that JSON can hold") from error
    _check_hierarchy(graph)
    _check_figures(publication.figures, graph.n_rows, graph.n_classes)
    if others:
        _check_placed(others, graph)
        _check_figures(others.figures, len(others), graph.n_classes)


def _check_figures(figures: Figures | None, n_rows: int, n_classes: int) -> None:
    for what, values in vars(figures).items() if figures else ():
        if len(values) != n_rows or not np.isfinite(values).all():
            raise refused(f"figures.{what}", f"{len(values)} values", f"{n_rows} finite ones")
        if values.dtype.kind == "i" and not (values.min(initial=0) >= -1 and values.max(initial=-1) < n_classes):
            raise refused(f"figures.{what}", "a class that is not there", f"-1 to {n_classes - 1}")


def _first_repeated(*parts: Texts) -> str | None:
    """The first text that stands there a second time; by hashes, so that all texts are never in memory at once."""
    hashes = np.fromiter((hash(text) for part in parts for block in text_blocks(part) for text in block.to_pylist()),
                         np.int64, sum(map(len, parts)))  # fmt: skip
    order = np.argsort(hashes, kind="stable")
    tied = np.flatnonzero(np.diff(hashes[order]) == 0)
    ends = np.cumsum([len(part) for part in parts])
    seen: set[str] = set()
    for place in np.unique(order[np.concatenate([tied, tied + 1])]).tolist():
        number = int(np.searchsorted(ends, place, side="right"))
        row = place - int(ends[number]) + len(parts[number])
        text = str(strings(parts[number], row, row + 1)[0].as_py())
        if text in seen:
            return text
        seen.add(text)
    return None


def _other_than(values: Texts, text: str) -> str | None:
    """The first of the values that is not `text`."""
    for block in text_blocks(values):
        others = block.filter(pc.not_equal(block, text))
        if len(others):
            return str(others[0].as_py())
    return None


def _check_splits(others: HeldOut) -> None:
    """Raise DataError unless every row's split is one of those that are held out, and unlabelled ones have no label."""
    first = 0
    for block in text_blocks(others.split):
        known = pc.is_in(block, pa.array(HELD_OUT_SPLITS))
        if not pc.all(known).as_py():
            got = repr(block.filter(pc.invert(known))[0].as_py())
            raise refused("held_out.split", got, f"one of {', '.join(HELD_OUT_SPLITS)}")
        labels = np.diff(others.membership.indptr)[first : first + len(block)]
        if len(labels) == len(block) and labels[np.asarray(pc.equal(block, "unlabelled"))].any():
            raise refused("held_out.membership", "a label of a row of the split unlabelled", "none")
        first += len(block)


def _check_placed(others: HeldOut, graph: HierarchyGraph) -> None:
    """Raise DataError unless the rows that are held out lie in the hierarchy's patterns, beside its instances."""
    n, labels = len(others), others.membership
    for what, length in (
        ("pattern", len(others.pattern)), ("score", len(others.score)), ("membership", labels.shape[0]),
        ("ids", len(others.ids)), ("split", len(others.split)), ("uris", len(others.uris)),
    ):  # fmt: skip
        if length != n:
            raise refused(f"held_out.{what}", f"{length} values", f"{n}, one for each instance")
    if not n:
        return
    if (np.diff(others.instance) <= 0).any() or not 0 <= others.instance[0] <= others.instance[
        -1
    ] < 10**INSTANCE_DIGITS:
        raise refused("held_out.instance", "indices out of order or range", "0 or more, strictly ascending")
    both = np.intersect1d(others.instance, graph.instance, assume_unique=True)
    if len(both):
        raise refused("held_out.instance", f"{both[0]}, a training instance", "the indices of other instances")
    if not 0 <= others.pattern.min() <= others.pattern.max() < graph.n_patterns:
        raise refused("held_out.pattern", "a pattern out of range", f"0..{graph.n_patterns - 1}")
    if not np.isfinite(others.score).all():
        raise refused("held_out.score", "a value that is not finite", "finite numbers")
    ones = labels.shape[1] == graph.n_classes and labels.has_canonical_format and (labels.data == 1).all()
    if not ones or not (graph.multi_label or (np.diff(labels.indptr) <= 1).all()):
        least = "" if graph.multi_label else ", at most one in a row"
        raise refused("held_out.membership", "other labels", f"ones for the {graph.n_classes} classes{least}")


def _check_hierarchy(graph: HierarchyGraph) -> None:
    if graph.n_rows == 0 or graph.instance[0] < 0 or (np.diff(graph.instance) <= 0).any():
        raise refused("hierarchy.instance", "indices out of order", "0 or more, strictly ascending")
    if int(graph.instance[-1]) >= 10**INSTANCE_DIGITS:
        raise refused("hierarchy.instance", str(graph.instance[-1]), f"at most {INSTANCE_DIGITS} digits")
    if not np.isfinite(graph.score).all():
        raise refused("hierarchy.score", "a value that is not finite", "finite numbers")
    inside = graph.pattern.min() >= 0 and graph.pattern.max() == graph.n_patterns - 1
    if not inside or not np.bincount(graph.pattern).all():
        raise refused("hierarchy.pattern", "a pattern without rows or out of range", f"0..{graph.n_patterns - 1}")
    counts = pattern_counts(graph.pattern, graph.membership)
    again = assemble(
        graph.pattern, graph.score, graph.membership, graph.instance, counts, graph.role,
 multi_label=graph.multi_label, dominance_threshold=graph.dominance_threshold
    )  # fmt: skip
    if graph.role.nnz != counts.nnz or not equal(again, graph):
        raise refused(
            "the hierarchy", "counts, members or difficulties of other rows", "those of its patterns and labels"
        )
    above = pattern_shares(counts, graph.sizes).data > graph.dominance_threshold
    if not np.array_equal(above, graph.role.data == ROLE_DOMINATES) or graph.role.data.max(initial=0) >= len(
        ROLE_NAMES
    ):
        raise refused("hierarchy.role", "roles that the shares contradict", "a role for each count, from the threshold")


def check_tables(tables: Mapping[str, Rows], schema: Schema, names: Collection[str]) -> None:
    """Raise DataError unless the tables of these names have their type's columns, no null, unique keys, no loose end.

    A bulk load into a database may crash on these, or store them; so they are found here.
    """
    for kind in schema.types:
        if kind.table in names:
            check_rows(tables[kind.table].table(), kind, kind.arrow())
    for edge in schema.edges:
        if edge.table in names:
            for end, label in edge.ends:
                dangling = loose_ends(tables[edge.table].table()[end], tables[label])
                if len(dangling):
                    raise loose_end(edge, end, label, dangling[0].as_py())


def check_rows(table: pa.Table, kind: NodeType | EdgeType, columns: pa.Schema) -> None:
    """Raise DataError unless the rows of a type have these columns, no null and unique keys."""
    if not table.schema.equals(columns):
        raise refused(f"columns of {kind.table}", str(table.schema), str(columns))
    nulls = [name for name in table.column_names if table[name].null_count]
    if nulls:
        raise refused(f"{kind.table}.{nulls[0]}", "a null", "a value in every row")
    check_unique(table, kind)


def loose_ends(ends: pa.ChunkedArray, nodes: Rows | None) -> pa.Array:
    """The distinct keys among `ends` that no row of `nodes` has."""
    found = pc.unique(ends)
    for block in nodes.blocks() if nodes else ():
        found = found.filter(pc.invert(pc.is_in(found, block["key"].combine_chunks())))
    return found


def loose_end(edge: EdgeType, end: str, label: str, key: str, where: str = "") -> DataError:
    """The error for an edge whose end is no node."""
    return refused(f"{edge.table}.{end}", repr(key), f"the key of a {label}{where}")


def check_unique(table: pa.Table, kind: NodeType | EdgeType) -> None:
    """Raise DataError when two rows have the same key or the same ends."""
    unique_by = [kind.key] if isinstance(kind, NodeType) else list(kind.unique_by)
    unique_by = [name for name in unique_by if name in table.column_names]  # an addition's own key is not filled in yet
    n_distinct = table.select(unique_by).group_by(unique_by).aggregate([]).num_rows
    if n_distinct != table.num_rows:
        raise refused(kind.table, f"{table.num_rows - n_distinct} rows too many", f"one for each {unique_by}")
