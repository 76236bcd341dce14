"""Where a run lies, and its graph store."""

from __future__ import annotations

import os
from pathlib import Path

from csrms_dist.artefacts.names import RECORD, STORE
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.errors import RunDirectoryError
from csrms_dist.hierarchy.settings import KEEP_RUNS
from graphstore.store import GraphStore


def store_of(run: RunDirectory, keep_runs: int = KEEP_RUNS) -> GraphStore:
    """The run's graph store: Neo4j when NEO4J_URI is set, else the embedded engine below the run directory.

    keep_runs: the runs of a data set that a publication leaves in an embedded one.
    """
    if os.environ.get("NEO4J_URI"):
        from graphstore.neo4j.store import Neo4jStore

        return Neo4jStore.from_environment()
    from graphstore.embedded.store import EmbeddedStore

    return EmbeddedStore(run.path / STORE, keep_runs=keep_runs)


def find_run(given: str | Path | None) -> RunDirectory:
    """The run directory that was named, or the one below runs/ that was written last."""
    if given is not None:
        if "://" not in str(given) and not (Path(given) / RECORD).is_file():
            raise RunDirectoryError(
                f"{given}", got=f"no {RECORD} in it", expected="a run directory", remedy="check --run"
            )
        return RunDirectory(given)
    found = sorted(Path("runs").glob(f"*/{RECORD}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise RunDirectoryError("runs/", got="no run in it", expected="a run", remedy="name one with --run DIR")
    return RunDirectory(found[-1].parent)
