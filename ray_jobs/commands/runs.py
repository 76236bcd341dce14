"""Command runs: which runs the graph database holds; going back to one, removing one, handing all to neo4j-admin."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from csrms_dist.basics.progress import Progress
from csrms_dist.errors import StoreError
from graphstore.embedded.store import EmbeddedStore
from graphstore.store import AdditionInfo, GraphStore


def listing(store: GraphStore) -> pa.Table:
    """One row a run: key, whether it is live, status, created (UTC), counts (training images, patterns,
    classes), vigilance, additions.

    additions: `kind:fingerprint` of each, oldest first, which stands behind the run's key in its own; what is not ready
    with its status.
    """
    infos = store.runs()
    return pa.table(
        {
            "run": [info.key for info in infos],
            "live": [info.live for info in infos],
            "status": [info.status for info in infos],
            "created": pa.array([info.created_ms for info in infos], pa.timestamp("ms", "UTC")).cast(pa.string()),
            "training": pa.array([info.n_instances for info in infos], pa.int64()),
            "patterns": pa.array([info.n_patterns for info in infos], pa.int64()),
            "classes": pa.array([info.n_classes for info in infos], pa.int64()),
            "vigilance": pa.array([info.vigilance for info in infos], pa.float64()),
            "additions": [", ".join(map(_named, store.additions(info.key))) for info in infos],
        }
    )


def _named(addition: AdditionInfo) -> str:
    state = "" if addition.status == "ready" else f" ({addition.status})"
    return addition.key.removeprefix(f"{addition.run}:") + state


def write_bundle(store: GraphStore, folder: str | Path) -> int:
    """Write all that an embedded store holds as the input of neo4j-admin's import; how many rows that is."""
    if not isinstance(store, EmbeddedStore):
        raise StoreError(
            "a bundle", got=f"the store {store.location}", expected="an embedded one",
            remedy="publish without NEO4J_URI and bundle that",
        )  # fmt: skip
    with Progress("bundle", unit="rows") as progress:
        return store.write_bundle(folder, progress)
