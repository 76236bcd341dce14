"""Looks at the live run until it is told to stop: python -m tests.faults.reader FOLDER N, as in tests.faults.publisher.

Prints the key of the live run after each look that found it whole, at last once more after a line on standard input.
"""

from __future__ import annotations

import select
import sys

from csrms_dist.hierarchy.snapshot import equal
from graphstore.embedded.store import EmbeddedStore
from graphstore.neo4j.store import Neo4jStore
from graphstore.queries import named_query
from graphstore.store import GraphStore
from tests.faults.publisher import RUNS, run_of


def main(folder: str, n: str) -> None:
    expected = {given.run_key: given.hierarchy for given in (run_of(name, int(n)) for name in RUNS)}
    store: GraphStore = Neo4jStore.from_environment() if folder == "-" else EmbeddedStore(folder)
    told = False
    with store:
        while True:
            run = store.live_run()
            assert run is not None
            graph = expected[run]
            if not equal(store.export(run), graph):
                raise SystemExit(f"{run} is not whole")
            found = store.query(named_query("mixed_patterns"), {"run": run})
            assert sorted(found["pattern"].to_pylist()) == [k for k, d in enumerate(graph.dominated) if not d]
            print(run, flush=True)
            if told:
                return
            told = bool(select.select([sys.stdin], [], [], 0)[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
