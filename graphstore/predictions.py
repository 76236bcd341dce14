"""A model's answers as rows of an addition: PREDICTED from images to classes, CONFUSED_WITH from class to class.

Arrays in, tables out: labels come in beside finished predictions, so none can take part in them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from csrms_dist.basics.arrays import F32, I64
from graphstore.rows import BLOCK
from graphstore.schema import SCHEMA, EdgeType
from graphstore.store import GraphStore, dataset_of
from graphstore.tables import numbered

KIND = "predictions"
PREDICTED, CONFUSED_WITH = "Instance.PREDICTED.Class", "Class.CONFUSED_WITH.Class"
MOST = 5
"""Ranks of an image at the most."""

_IN_RUN = """
UNWIND $ids AS id
MATCH (i:Instance {source_id: id})-[:IN_PATTERN]->(:Pattern {run: $run})
WHERE i.split = $split
RETURN i.source_id AS id, i.key AS key
"""


def stored_keys(store: GraphStore, run: str, ids: Sequence[str], split: str) -> list[str | None]:
    """For each of the user's ids the key of the run's image of this split, None where the run has none."""
    found: dict[str, str] = {}
    for start in range(0, len(ids), BLOCK):
        part = {"run": run, "ids": ids[start : start + BLOCK], "split": split}
        answer = store.query(_IN_RUN, part, limit=BLOCK, timeout_s=600)
        found |= dict(zip(answer["id"].to_pylist(), answer["key"].to_pylist(), strict=True))
    return [found.get(one) for one in ids]


def predicted(run: str, keys: Sequence[str | None], probabilities: F32, k: int = 1) -> pa.Table:
    """The k most probable classes of each image, rank 1 the most probable, ties to the lower index.

    keys: of N images; one without a key is left out. probabilities: (N, K) for the classes of the run's data set.
    Raises ValueError for a k beyond MOST.
    """
    if not 1 <= k <= MOST:
        raise ValueError(f"got k = {k}, expected 1..{MOST}")
    known = [(row, key) for row, key in enumerate(keys) if key is not None]
    values = np.asarray(probabilities, np.float32)[[row for row, _ in known]]
    best = np.argsort(-values, axis=1, kind="stable")[:, :k]
    columns = {
        "from": [key for _, key in known for _ in range(best.shape[1])],
        "to": numbered(dataset_of(run), best.reshape(-1)),
        "probability": np.take_along_axis(values, best, axis=1).reshape(-1),
        "rank": np.tile(np.arange(1, best.shape[1] + 1), len(known)),
    }
    return _table(PREDICTED, columns)


def confused(run: str, labels: I64, answers: npt.NDArray[np.integer]) -> pa.Table:
    """How often images of a class were taken for one of another, for each pair where they were.

    labels, answers: (N,) indices of the classes of the run's data set, with one label each. share: of the images of
    the class.
    """
    size = int(max(labels.max(initial=-1), answers.max(initial=-1))) + 1
    pairs, n = np.unique(labels * size + answers, return_counts=True)
    true, other = np.divmod(pairs, max(size, 1))
    wrong = true != other
    of_class = np.bincount(labels, minlength=size)
    dataset = dataset_of(run)
    columns = {
        "from": numbered(dataset, true[wrong]),
        "to": numbered(dataset, other[wrong]),
        "n": n[wrong],
        "share": (n / of_class[true])[wrong],
    }
    return _table(CONFUSED_WITH, columns)


def _table(name: str, columns: dict[str, object]) -> pa.Table:
    kind: EdgeType = next(edge for edge in SCHEMA.edges if edge.table == name)
    fields = [field for field in kind.arrow() if field.name in columns]
    return pa.table(columns, schema=pa.schema(fields))
