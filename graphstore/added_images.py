"""Images that an addition brings to the data set of its run: their rows, and what must hold of them.

They are nodes Instance of the split `added`, behind the highest index of the data set, with HAS_LABEL edges where they
have labels and one IN_PATTERN edge each, to a pattern of the run. Additions to several runs of a data set may bring the
same images; they say the same of them then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from csrms_dist.basics.arrays import I64, Matrix
from graphstore.checks import loose_ends, refused
from graphstore.read_back import Read
from graphstore.rows import BLOCK, Rows, Tables
from graphstore.schema import SCHEMA, Schema
from graphstore.store import INSTANCE_DIGITS, GraphStore, RunInfo, dataset_of, instance_key
from graphstore.tables import instance_keys, numbered

ADDED = "added"
"""The split of added images."""
TABLES = INSTANCE, HAS_LABEL, IN_PATTERN = "Instance", "Instance.HAS_LABEL.Class", "Instance.IN_PATTERN.Pattern"

_HIGHEST = "MATCH (i:Instance) WHERE i.key >= $first AND i.key < $last AND i.dataset = $dataset"
_ANY_SPLIT = f"{_HIGHEST} RETURN coalesce(max(i.idx), -1) AS idx"
_PUBLISHED = f"{_HIGHEST} AND i.split <> '{ADDED}' RETURN coalesce(max(i.idx), -1) AS idx"
_BY_KEY = """
UNWIND $keys AS key
MATCH (i:Instance {key: key})
RETURN i.key AS key, i.source_id AS source_id, i.split AS split
"""
_BY_ID = """
UNWIND $keys AS id
MATCH (i:Instance {source_id: id})
WHERE i.dataset = $dataset
RETURN i.key AS key, i.source_id AS source_id
"""
_IN_RUN = """
UNWIND $keys AS key
MATCH (i:Instance {key: key})-[:IN_PATTERN]->(:Pattern {run: $run})
RETURN i.source_id AS source_id
ORDER BY source_id
LIMIT 1
"""
_LABELS = """
UNWIND $keys AS key
MATCH (i:Instance {key: key})-[:HAS_LABEL]->(c:Class)
RETURN i.key AS key, c.key AS class
"""


def next_index(store: GraphStore, run: str) -> int:
    """The first index behind all images of the run's data set."""
    found = store.query(_ANY_SPLIT, whole_range(dataset_of(run)))
    return int(found["idx"][0].as_py()) + 1


def image_rows(
    run: str,
    idx: I64,
    ids: Sequence[str],
    uris: Sequence[str],
    labels: Sequence[Sequence[int]],
    pattern: I64,
    fit: Mapping[str, Matrix],
    schema: Schema = SCHEMA,
) -> dict[str, pa.Table]:
    """The rows of N images for an addition to `run`.

    idx: (N,) distinct, behind `next_index` unless another run's addition brought the image. labels: the indices of the
    classes of each; empty where none is known. pattern: (N,) indices of patterns of the run. fit: the columns of
    IN_PATTERN, (N,) each.
    """
    dataset, n = dataset_of(run), len(idx)
    keys = instance_keys(dataset, np.asarray(idx, np.int64))
    images = {"key": keys, "dataset": [dataset] * n, "idx": idx, "source_id": ids, "split": [ADDED] * n, "uri": uris}
    rows = np.repeat(np.arange(n), [len(some) for some in labels])
    classes = np.array([label for some in labels for label in some], np.int64)
    made = {
        INSTANCE: images,
        HAS_LABEL: {"from": keys.take(pa.array(rows)), "to": numbered(dataset, classes)},
        IN_PATTERN: {"from": keys, "to": numbered(run, np.asarray(pattern, np.int64)), **fit},
    }
    return {kind.table: pa.table(made[kind.table], schema=kind.arrow()) for kind in schema.types if kind.table in made}


def check_against(tables: Tables, run: RunInfo, read: Read) -> None:
    """Raise DataError unless the images are new to the run, and other runs say the same of them."""
    images = _table(tables, INSTANCE)
    _check_images(images, tables, run)
    dataset = run.dataset_key
    ids = dict(zip(images["key"].to_pylist(), images["source_id"].to_pylist(), strict=True))
    places = {source_id: key for key, source_id in ids.items()}
    stored: set[str] = set()
    for row in _asked(read, _BY_KEY, list(ids)):
        if row["split"] != ADDED or row["source_id"] != ids[row["key"]]:
            raise refused(f"{INSTANCE}.key", f"{row['key']!r}, which is {row['source_id']!r}", "a free index")
        stored.add(row["key"])
    for row in _asked(read, _BY_ID, list(places), dataset=dataset):
        if row["key"] != places[row["source_id"]]:
            raise refused(
                f"{INSTANCE}.source_id", f"{row['source_id']!r}, which is stored as {row['key']}", "the same index"
            )
    highest = read(_PUBLISHED, whole_range(dataset))["idx"][0].as_py()
    for key, idx in zip(ids, images["idx"].to_pylist(), strict=True):
        if key not in stored and idx <= highest:
            raise refused(f"{INSTANCE}.idx", str(idx), f"more than {highest}, the highest of the data set")
    for row in _asked(read, _IN_RUN, list(stored), run=run.key):
        raise refused(f"{INSTANCE}.source_id", f"{row['source_id']!r}, which the run has already", "images new to it")
    _check_labels(tables, stored, read)


def _check_images(images: pa.Table, tables: Tables, run: RunInfo) -> None:
    """Raise DataError unless the images are named as they must be, with one pattern each."""
    idx = images["idx"].to_numpy()
    if len(idx) and not 0 <= idx.min() <= idx.max() < 10**INSTANCE_DIGITS:
        raise refused(f"{INSTANCE}.idx", f"{idx.min()}..{idx.max()}", f"0 or more, at most {INSTANCE_DIGITS} digits")
    expected = {"key": instance_keys(run.dataset_key, idx), "dataset": run.dataset_key, "split": ADDED}
    for name, value in expected.items():
        wrong = images.filter(pc.not_equal(images[name], value))
        if wrong.num_rows:
            raise refused(
                f"{INSTANCE}.{name}", repr(wrong[name][0].as_py()), "that of idx" if name == "key" else repr(value)
            )
    if pc.count_distinct(images["source_id"]).as_py() != len(idx):
        raise refused(f"{INSTANCE}.source_id", "an id twice", "distinct ids")
    labels, patterns = (_table(tables, name)["from"] for name in (HAS_LABEL, IN_PATTERN))
    for name, ends in ((HAS_LABEL, labels), (IN_PATTERN, patterns)):
        others = loose_ends(ends, Rows.of(images))
        if len(others):
            raise refused(f"{name}.from", repr(others[0].as_py()), "an image that the addition brings")
    if len(pc.unique(patterns)) != len(idx) or len(patterns) != len(idx):
        raise refused(IN_PATTERN, f"{len(patterns)} edges for {len(idx)} images", "one for each")
    if not run.multi_label and len(pc.unique(labels)) != len(labels):
        raise refused(HAS_LABEL, "two labels of an image", "one, as in the data set")


def _table(tables: Tables, name: str) -> pa.Table:
    """The rows of one of TABLES, none where it was not given."""
    kind = next(kind for kind in SCHEMA.types if kind.table == name)
    return tables[name].table() if name in tables else kind.arrow().empty_table()


def _check_labels(tables: Tables, stored: set[str], read: Read) -> None:
    """Raise DataError when images that are stored have other labels than are given now."""
    found = {(row["key"], row["class"]) for row in _asked(read, _LABELS, list(stored))}
    table = _table(tables, HAS_LABEL)
    pairs = zip(table["from"].to_pylist(), table["to"].to_pylist(), strict=True)
    if found != {(key, label) for key, label in pairs if key in stored}:
        raise refused(HAS_LABEL, "other labels of the same images", "what other runs of the data set say")


def _asked(read: Read, text: str, keys: Sequence[str], **params: Any) -> Iterator[dict[str, Any]]:
    for start in range(0, len(keys), BLOCK):
        yield from read(text, {"keys": keys[start : start + BLOCK], **params}).to_pylist()


def whole_range(dataset: str) -> dict[str, str]:
    """The parameters that choose all instances of a data set by key."""
    last = instance_key(dataset, 10**INSTANCE_DIGITS - 1) + "/"
    return {"dataset": dataset, "first": instance_key(dataset, 0), "last": last}
