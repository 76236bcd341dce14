"""Publishes a made run, as a process that a test may kill: python -m tests.faults.publisher FOLDER NAME N.

FOLDER: of an embedded store; - for the Neo4j server that the environment names. NAME: old or new, or the digit of an
addition to the old run. Prints `begins` when the rows are made and `done` when the run is live or the addition ready.
Ends with the exit code of the error.
"""

from __future__ import annotations

import sys

import numpy as np

from csrms_dist.errors import CsrmsError
from graphstore.added_images import image_rows
from graphstore.embedded.store import EmbeddedStore
from graphstore.neo4j.store import Neo4jStore
from graphstore.predictions import KIND, PREDICTED, predicted
from graphstore.store import Addition, GraphStore, Publication
from graphstore.tables import instance_keys
from tests.contract.hierarchies import fit, hierarchy, publication, reclustered

RUNS = {"old": 0, "new": 1}


def run_of(name: str, n: int) -> Publication:
    """n instances of one data set, in one of two clusterings."""
    base, other = hierarchy(0, n=n, n_patterns=100), hierarchy(RUNS[name], n=n, n_patterns=100)
    return publication(reclustered(base, other), name, created_ms=RUNS[name])


def addition_of(digit: str, n: int) -> Addition:
    """Predictions for all instances of the old run, and as many more images as half of them."""
    old = run_of("old", n)
    graph, more = old.hierarchy, n // 2
    rng = np.random.default_rng(int(digit))
    start = int(graph.instance[-1]) + 1 + int(digit) * more
    keys = instance_keys(old.dataset_key, graph.instance).to_pylist()
    rows = {PREDICTED: predicted(old.run_key, keys, rng.random((n, graph.n_classes)).astype(np.float32))}
    rows |= image_rows(
        old.run_key, np.arange(start, start + more), [f"more-{start + i}" for i in range(more)], [""] * more,
        [[i % graph.n_classes] for i in range(more)], rng.integers(0, graph.n_patterns, more), fit(more),
    )  # fmt: skip
    return Addition(old.run_key, KIND, digit * 16, rows)


def main(folder: str, name: str, n: str) -> int:
    given = addition_of(name, int(n)) if name.isdigit() else run_of(name, int(n))
    store: GraphStore = Neo4jStore.from_environment() if folder == "-" else EmbeddedStore(folder)
    print("begins", flush=True)
    try:
        with store:
            if isinstance(given, Addition):
                store.add(given)
            else:
                store.publish(given)
    except CsrmsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print("done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
