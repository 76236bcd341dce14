"""Publishes a made run, as a process that a test may kill: python -m tests.faults.publisher FOLDER NAME N.

FOLDER: of an embedded store; - for the Neo4j server that the environment names. Prints `begins` when the rows are made
and `done` when the run is live. Ends with the exit code of the error.
"""

from __future__ import annotations

import sys

from csrms_dist.errors import CsrmsError
from graphstore.embedded.store import EmbeddedStore
from graphstore.neo4j.store import Neo4jStore
from graphstore.store import GraphStore, Publication
from tests.contract.hierarchies import hierarchy, publication, reclustered

RUNS = {"old": 0, "new": 1}


def run_of(name: str, n: int) -> Publication:
    """n instances of one data set, in one of two clusterings."""
    base, other = hierarchy(0, n=n, n_patterns=100), hierarchy(RUNS[name], n=n, n_patterns=100)
    return publication(reclustered(base, other), name, created_ms=RUNS[name])


def main(folder: str, name: str, n: str) -> int:
    given = run_of(name, int(n))
    store: GraphStore = Neo4jStore.from_environment() if folder == "-" else EmbeddedStore(folder)
    print("begins", flush=True)
    try:
        with store:
            store.publish(given)
    except CsrmsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print("done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
