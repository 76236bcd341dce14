"""Where a run lies, and its graph store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from csrms_dist.artefacts.file_systems import is_uri, joined
from csrms_dist.artefacts.names import RECORD, STORE
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.errors import ConfigError, RunDirectoryError
from csrms_dist.hierarchy.settings import KEEP_RUNS
from graphstore.store import GraphStore

ROOT = "CSRMS_RUNS"
"""The variable that names the folder of all runs, which is runs/ in the current folder otherwise."""
RUNS = "runs"
RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray sets it for the command of a job, and for no other process."""


def run_directory(named: str | Path) -> RunDirectory:
    """The run directory of this name.

    An absolute path and a URI are what they say. Anything else lies below CSRMS_RUNS, where that is set to a path or a
    URI; `runs/x` and `x` are the same there. Raises ConfigError for a relative place in a Ray job, whose current folder
    is a cache of Ray's.
    """
    root = os.environ.get(ROOT, "")
    if root and not is_uri(root) and not Path(root).is_absolute():
        raise ConfigError(f"the variable {ROOT}", got=repr(root), expected="an absolute path or a URI")
    path = Path(named)
    if is_uri(named) or path.is_absolute():
        return RunDirectory(named)
    if root:
        inner = path.parts[1:] if path.parts[:1] == (RUNS,) else path.parts
        return RunDirectory(joined(root, *inner))
    if RAY_JOB in os.environ:
        raise ConfigError(
            "the run directory", got=f"{named} in a Ray job, whose current folder Ray throws away",
            expected="an absolute path", remedy=f"set {ROOT} to a folder that all nodes share, or name it in full",
        )  # fmt: skip
    return RunDirectory(named)


def refuse_data_in(run: RunDirectory, data: Mapping[str, str], made: Iterable[str]) -> None:
    """Raise ConfigError for a run directory in a folder of the user's data, and for data where a stage writes.

    A stage replaces the folder of its name, and what lies among images is taken for images by the next run.

    data: a setting's name to the file or folder that it names, '' for none. made: the folders that the stages write.
    """
    if not run.is_local:
        return
    out, made = run.path.resolve(), set(made)
    for key, named in data.items():
        place = Path(named).resolve()
        if named and place.is_dir() and out.is_relative_to(place):
            got = f"{run.uri}, which lies in {key} {named}"
        elif named and place.is_relative_to(out) and made.intersection(place.relative_to(out).parts[:1]):
            got = f"{run.uri}, where the stage {place.relative_to(out).parts[0]} would replace {key} {named}"
        else:
            continue
        raise ConfigError("--out", got=got, expected="a folder apart from the data", remedy="choose another")


def store_of(run: RunDirectory, keep_runs: int = KEEP_RUNS) -> GraphStore:
    """The run's graph store: Neo4j when NEO4J_URI is set, else the embedded engine in the run directory.

    keep_runs: the runs of a data set that a publication leaves in an embedded one.
    """
    if os.environ.get("NEO4J_URI"):
        from graphstore.neo4j.store import Neo4jStore

        return Neo4jStore.from_environment()
    from graphstore.embedded.store import EmbeddedStore
    from graphstore.embedded.uploaded import UploadedStore

    if not run.is_local:
        return UploadedStore(run, keep_runs=keep_runs)
    return EmbeddedStore(run.path / STORE, keep_runs=keep_runs)


def has_embedded_store(run: RunDirectory) -> bool:
    """Whether something was published to the embedded store of a run."""
    return run.exists(STORE)


def find_run(given: str | Path | None) -> RunDirectory:
    """The run directory that was named, or the one below runs/ (or CSRMS_RUNS) that was written last."""
    directory = run_directory(RUNS if given is None else given)
    if given is not None:
        if directory.read_json(RECORD) is None:
            directory.check()
            raise RunDirectoryError(
                directory.uri,
                got=f"no {RECORD} in it",
                expected="a run directory",
                remedy="name one that `csrms run` made",
            )
        return directory
    written = {name: directory.changed(f"{name}/{RECORD}") for name in directory.names()}
    found = [name for name, when in written.items() if when]
    if not found:
        directory.check()
        raise RunDirectoryError(
            f"{directory.uri}/",
            got="no run in it",
            expected="a run",
            remedy="name one, or make one with csrms run CONFIG",
        )
    return RunDirectory(joined(directory.uri, max(found, key=lambda name: written[name])))
