"""A small run, and its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from csrms_dist.hierarchy.build import build_hierarchy
from graphstore.schema import SCHEMA
from graphstore.store import Publication
from graphstore.tables import publication_tables

GRAPH = build_hierarchy(
    [0, 0, 1, 1], [0.5, 1, 0, 0.25], sparse.csr_array(np.eye(2, dtype=np.uint8)[[0, 0, 0, 1]]), [1, 2, 5, 7],
    dominance_threshold=0.6, n_positives=1, multi_label=False,
)  # fmt: skip


NOWHERE = "bolt://127.0.0.1:1"
"""The address of no server."""


def publication(run: str = "a", **changes: Any) -> Publication:
    """GRAPH under the fingerprint of 16 times `run`, a hexadecimal digit."""
    parts: dict[str, Any] = {
        "dataset": "d", "content_hash": "0" * 8, "class_names": ["cat", "dog"], "ids": list("wxyz"),
        "split": ["train"] * 4, "uris": [""] * 4, "hierarchy": GRAPH, "fingerprint": run * 16,
        "params": {"b": 1, "a": 2}, "vigilance": 1, "features_uri": "f", "prototypes_uri": "p", "created_ms": 3,
    }  # fmt: skip
    return Publication(**(parts | changes))


def whole(given: Publication) -> dict[str, pa.Table]:
    """The rows of each table at once."""
    return {name: rows.table() for name, rows in publication_tables(given, SCHEMA).items()}


def with_rows(table: str, **changes: Any) -> dict[str, pa.Table]:
    """The tables of a run with other values in the first row of one."""
    tables = whole(publication())
    rows = tables[table].to_pylist()
    rows[0].update(changes)
    return tables | {table: pa.Table.from_pylist(rows, schema=tables[table].schema)}
