"""Builds a graph file in a child process, whose death is no danger to its parent.

The child is `python -m graphstore.embedded.builder`; its working folder holds job.json. It writes graph.lbug by one
autocommit COPY a table and CHECKPOINT, reopens it read-only and counts. On standard output it says how many rows each
COPY wrote and at last that all are there; what went wrong it writes to error.json.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from csrms_dist.artefacts.fingerprints import canonical_json
from csrms_dist.basics.progress import Progress
from csrms_dist.errors import CsrmsError, RunDirectoryError, StoreError
from graphstore.embedded.engine import BYTES_A_ROW, ENGINE_ERRORS, OUT_OF_MEMORY, buffer_pool, engine, open_database
from graphstore.rows import count_rows
from graphstore.schema import Schema

DATABASE = "graph.lbug"
_JOB, _ERROR, _ERRORS = "job.json", "error.json", "stderr.txt"
# The engine reports a short write with whatever errno is about.
_DISK_FULL = ("No space left", "File too large", "Disk quota", "Cannot write to file")
_VERIFIED = b"verified"  # the last line of a builder that has done its work


def build(staging: Path, schema: Schema, files: Mapping[str, Sequence[Path]], progress: Progress | None = None) -> Path:
    """Build and verify a graph file in the folder `staging`; its path.

    files: the Parquet files of each table. Raises StoreError, RunDirectoryError when the disk is full.
    """
    n_rows = {table: count_rows(of_table) for table, of_table in files.items()}
    job = {
        "ddl": schema.ddl(),
        "copies": [
            [f"COPY {name} FROM '{os.path.relpath(file, staging)}'{ends}", count_rows([file])]
            for table, name, ends in schema.copies()
            for file in files[table]
        ],
        "counts": [[table, query, n_rows[table]] for table, query in schema.counting()],
        "buffer_pool": buffer_pool(BYTES_A_ROW * sum(n_rows.values())),
    }
    (staging / _JOB).write_text(canonical_json(job))
    if progress:
        progress.total = progress.total or sum(n_rows.values())
    # -P: the staging folder is the child's working folder (so that paths need no quoting), not a place for modules
    command = [sys.executable, "-P", "-m", "graphstore.embedded.builder"]
    root = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
    verified = False
    with (staging / _ERRORS).open("wb") as errors:
        child = subprocess.Popen(
            command,
            cwd=staging,
            env={**os.environ, "PYTHONPATH": search},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        with child:
            try:
                for line in child.stdout or ():
                    verified = line.strip() == _VERIFIED
                    if progress and line.strip().isdigit():
                        progress.update(int(line))
            except BaseException:
                child.kill()
                raise
    # where SIGCHLD is ignored, as a host process may do, the exit code of a killed child reads 0
    if child.returncode or not verified:
        raise _child_error(staging, child.returncode)
    return staging / DATABASE


def _child_error(staging: Path, code: int) -> CsrmsError:
    """The error of a builder that ended with this exit code, or by the signal of this negative number."""
    remedy = "what was published before is untouched; publish again"
    if code < 0:
        name = signal.Signals(-code).name
        if name == "SIGKILL":
            remedy = f"{remedy}, with more memory if the system killed it for that"
        return StoreError("the process that builds the graph file", got=f"signal {name}", remedy=remedy)
    with contextlib.suppress(OSError, ValueError, KeyError):
        message = json.loads((staging / _ERROR).read_text())["message"]
        full = next((needle for needle in _DISK_FULL if needle in message), None)
        if full:
            return RunDirectoryError(
                f"the graph file in {staging.parent}",
                got=f"'{full}'",
                remedy="what was published before is untouched; free some space and publish again",
            )
        if OUT_OF_MEMORY in message:
            remedy = "what was published before is untouched; publish on a larger machine, or to Neo4j (NEO4J_URI)"
        return StoreError("the graph file cannot be built", got=f"'{message}'", remedy=remedy)
    lines = (staging / _ERRORS).read_text(errors="replace").strip().splitlines()
    return StoreError(
        "the process that builds the graph file", got=lines[-1] if lines else f"exit code {code}", remedy=remedy
    )


def _load(job: Mapping[str, Any]) -> None:
    """One autocommit COPY a table, then CHECKPOINT; print the rows of each table as it is done."""
    database = open_database(Path(DATABASE), job["buffer_pool"], read_only=False)
    connection = engine().Connection(database)
    for statement in job["ddl"]:
        connection.execute(statement)
    for statement, rows in job["copies"]:
        if rows:
            connection.execute(statement)
            print(rows, flush=True)
    connection.execute("CHECKPOINT")
    connection.close()
    database.close()


def _verify(job: Mapping[str, Any]) -> None:
    """Reopen read-only and count what each COPY wrote."""
    leftovers = [path.name for path in Path().glob(f"{DATABASE}.*") if path.stat().st_size]
    if leftovers:
        raise StoreError("the closed graph file", got=leftovers[0], expected="no log beside it")
    database = open_database(Path(DATABASE), job["buffer_pool"], read_only=True)
    connection = engine().Connection(database)
    for table, query, rows in job["counts"]:
        found = connection.execute(query).get_next()[0]
        if found != rows:
            raise StoreError(f"rows of {table} in the graph file", got=str(found), expected=str(rows))
    connection.close()
    database.close()


def _child() -> int:
    """The child process; its exit code."""
    try:
        job = json.loads(Path(_JOB).read_text())
        _load(job)
        _verify(job)
        print(_VERIFIED.decode(), flush=True)
    except (*ENGINE_ERRORS, OSError, CsrmsError) as error:
        message = " ".join(str(error).split())
        with contextlib.suppress(OSError):
            Path(_ERROR).write_text(json.dumps({"message": message}))
        print(message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_child())
