"""The cost of the graph store: loading, asking, exporting, in the embedded engine and in a real Neo4j server.

    python benchmarks/graph_stores.py load               # embedded publish against bare COPY, Neo4j against bare Cypher
    python benchmarks/graph_stores.py ask                # the same questions to both: p50 and p95, answers compared
    python benchmarks/graph_stores.py bundle --instances 10000000   # embedded publish, then neo4j-admin import

--instances 1000000 --patterns 2000 --classes 172 --labels 2.4 is the default; --quick takes a fiftieth of the
instances; --json PATH writes the figures. Neo4j servers are started below temporary folders (deploy/neo4j), with --heap
and --page-cache. Peaks of memory are of RssAnon, of this process and of the one that builds the embedded file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from csrms_dist.basics.progress import Progress
from csrms_dist.hierarchy import snapshot
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.relations import r_id, r_is, r_mc
from graphstore.embedded.engine import BYTES_A_ROW, buffer_pool
from graphstore.embedded.store import EmbeddedStore
from graphstore.neo4j.load import writing
from graphstore.neo4j.store import Neo4jStore
from graphstore.queries import named_query
from graphstore.read_back import cached_snapshot
from graphstore.schema import SCHEMA, EdgeType, NodeType
from graphstore.store import GraphStore, Publication, Repeated
from graphstore.tables import publication_tables

ROOT = Path(__file__).resolve().parents[1]
Table = list[dict[str, Any]]
NEAR = 120


def made(given: argparse.Namespace, seed: int = 0) -> Publication:
    """A multi-label data set: classes of very different sizes, patterns of one leading class or of none."""
    draw = np.random.default_rng(seed)
    n, k, j = given.instances, given.classes, given.patterns
    weight = 1 / np.arange(1, k + 1) ** 0.4
    weight /= weight.sum()
    pattern = draw.integers(0, j, n)
    pattern[:j] = np.arange(j)
    leader = draw.choice(k, j, p=weight)
    pure = draw.random(j) < 0.5
    near = draw.choice(k, (j, NEAR), p=weight)  # the classes that a pattern's images may carry
    labels = near[pattern[:, None], draw.integers(0, NEAR, (n, 4))]
    labels[:, 0] = np.where(draw.random(n) < np.where(pure[pattern], 0.9, 0.35), leader[pattern], labels[:, 0])
    kept = 1 + draw.poisson(given.labels - 0.75, n)
    chosen = np.arange(4)[None, :] < np.minimum(kept, 4)[:, None]
    rows = np.repeat(np.arange(n), chosen.sum(axis=1))
    membership = sparse.csr_array((np.ones(len(rows), np.uint8), (rows, labels[chosen])), shape=(n, k))
    membership.sum_duplicates()
    membership.data[:] = 1
    graph = build_hierarchy(
        pattern, draw.random(n).astype(np.float32), membership, np.arange(n),
        dominance_threshold=0.6, n_positives=10, multi_label=True,
    )  # fmt: skip
    return Publication(
        dataset="made", content_hash="0" * 16, class_names=[f"class {c}" for c in range(k)],
        ids=pc.binary_join_element_wise("image", pc.cast(pa.array(np.arange(n)), pa.string()), "-"),
        split=Repeated("train", n),
        uris=Repeated("", n), hierarchy=graph, fingerprint="a" * 32, params={}, vigilance=0.5, features_uri="features",
        prototypes_uri="prototypes", created_ms=1,
    )  # fmt: skip


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """The largest RssAnon of this process and its children meanwhile, MB, in the list that it yields."""
    peak, stop = [0.0], threading.Event()

    def look() -> None:
        while not stop.wait(0.05):
            for pid in [os.getpid(), *_children(os.getpid())]:
                with suppress(OSError):
                    found = re.search(r"RssAnon:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())
                    peak[0] = max(peak[0], int(found[1]) / 1024 if found else 0)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def _children(pid: int) -> list[int]:
    try:
        return [int(c) for path in Path(f"/proc/{pid}/task").glob("*/children") for c in path.read_text().split()]
    except OSError:
        return []


@contextmanager
def server(given: argparse.Namespace) -> Iterator[Neo4jStore]:
    """A store in a Neo4j server of its own."""
    with tempfile.TemporaryDirectory(dir=given.folder) as home:
        command = [sys.executable, str(ROOT / "deploy/neo4j/server.py")]
        options = ["--home", home]
        sizes = ["--heap", given.heap, "--page-cache", given.page_cache]
        done = subprocess.run([*command, "start", *options, *sizes], check=True, capture_output=True, text=True)
        path = Path(done.stdout.strip().splitlines()[-1].split()[-1])
        values = dict(
            line.removeprefix("export ").split("=", 1) for line in path.read_text().splitlines() if "=" in line
        )
        os.environ.update({name: value.strip("'\"") for name, value in values.items()})
        try:
            with Neo4jStore.from_environment() as store:
                yield store
        finally:
            for name in values:
                os.environ.pop(name, None)
            subprocess.run([*command, "stop", *options], check=True, capture_output=True)


def timed(work: Callable[..., Any], *given: Any) -> float:
    started = time.perf_counter()
    work(*given)
    return time.perf_counter() - started


# ------------------------------------------------------------------------------------------------------------- loading


def load(given: argparse.Namespace) -> Table:
    """Rows a second of a whole publication, beside what the engine does with the same rows and no safety."""
    publication = made(given)
    n_rows = sum(rows.n for rows in publication_tables(publication, SCHEMA).values())
    edges = publication.hierarchy.n_rows + publication.hierarchy.membership.nnz + publication.hierarchy.counts.nnz
    found: Table = [{"what": "rows of the publication", "rows": n_rows}]
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            store = EmbeddedStore(Path(folder) / "graph")
            with peak_memory() as peak:
                ours = timed(store.publish, publication)
            size = next(store.folder.glob("graph.*.lbug")).stat().st_size
            tables = next((store.folder / "tables").iterdir())
            bare = timed(bare_copy, tables, Path(folder), n_rows)
            found.append(
                {
                    "what": "embedded: publish", "rows/s": n_rows / ours, "bare COPY": n_rows / bare,
                    "ratio": bare / ours, "bytes a row": size / n_rows, "peak MB": peak[0],
                }
            )  # fmt: skip
            key = store.live_run() or ""
            edges = (
                publication.hierarchy.n_rows + publication.hierarchy.membership.nnz + publication.hierarchy.counts.nnz
            )
            found.append(
                {"what": "embedded: export, edges/s", "rows/s": edges / min(timed(store.export, key) for _ in range(3))}
            )
            store.close()
    for _ in range(given.rounds):
        with server(given) as remote:
            bare = timed(bare_cypher, remote, publication)
        with server(given) as remote:
            with Progress("neo4j", unit="rows") as progress, peak_memory() as peak:
                ours = timed(remote.publish, publication, progress)
            key = remote.live_run() or ""
            exported = min(timed(remote.export, key) for _ in range(3))
            single = per_row(remote)
        found.append(
            {
                "what": "Neo4j: publish", "rows/s": n_rows / ours, "bare UNWIND + CREATE": n_rows / bare,
                "ratio": bare / ours, "a row at a time": single, "x a row at a time": n_rows / ours / single,
                "peak MB": peak[0],
            }
        )  # fmt: skip
        found.append({"what": "Neo4j: export, edges/s", "rows/s": edges / exported})
    return found


BARE = """
import sys
import ladybug
from graphstore.schema import SCHEMA
database = ladybug.Database("bare.lbug", buffer_pool_size=int(sys.argv[2]))
connection = ladybug.Connection(database)
for statement in SCHEMA.ddl():
    connection.execute(statement)
for table, name, ends in SCHEMA.copies():
    connection.execute(f"COPY {name} FROM '{sys.argv[1]}/{table}.parquet'{ends}")
connection.execute("CHECKPOINT")
connection.close()
database.close()
"""


def bare_copy(tables: Path, folder: Path, n_rows: int) -> None:
    pool = buffer_pool(BYTES_A_ROW * n_rows)  # as ours
    subprocess.run([sys.executable, "-c", BARE, str(tables), str(pool)], cwd=folder, check=True)


def bolt(store: Neo4jStore) -> Any:
    return store.connection.session(write=True)


def bare_cypher(store: Neo4jStore, publication: Publication) -> None:
    """The same rows in the same batches by UNWIND and CREATE, constraints first; no ledger, no retry, no check."""
    tables = publication_tables(publication, SCHEMA)
    with bolt(store) as session:
        for statement in SCHEMA.constraints():
            session.run(statement).consume()
        session.run("CALL db.awaitIndexes(300)").consume()
        for kind in SCHEMA.types:
            text = bare_statement(kind)
            for start in range(0, tables[kind.table].n, 10_000):
                table = tables[kind.table].make(start, min(start + 10_000, tables[kind.table].n))
                rows = [list(row) for row in zip(*(c.to_pylist() for c in table.columns), strict=True)]
                session.run(text, rows=rows).consume()


def bare_statement(kind: NodeType | EdgeType) -> str:
    if isinstance(kind, NodeType):
        columns = ", ".join(f"{c.name}: r[{place}]" for place, c in enumerate(kind.columns))
        return f"UNWIND $rows AS r CREATE (:{kind.label} {{{columns}}})"
    columns = ", ".join(f"{c.name}: r[{place}]" for place, c in enumerate(kind.columns, 2))
    return (
        f"UNWIND $rows AS r MATCH (a:{kind.source} {{key: r[0]}}) MATCH (b:{kind.target} {{key: r[1]}}) "
        f"CREATE (a)-[:{kind.name} {{{columns}}}]->(b)"
    )


def per_row(store: Neo4jStore, n: int = 1000) -> float:
    """Rows a second when each is a transaction of its own: as many nodes as edges."""
    text = writing(SCHEMA.node("Pattern"), SCHEMA)
    with bolt(store) as session:

        def write() -> None:
            for row in range(n):
                session.run(text, rows=[[f"row {row}", "none", row, 1, False, 0.5]]).consume()
                session.run(
                    "MATCH (a:Pattern {key: $a}) MATCH (b:Class {key: $b}) CREATE (a)-[:COVERS {n: 1}]->(b)",
                    a=f"row {row}", b="made@00000000#0",
                ).consume()  # fmt: skip

        taken = timed(write)
        session.run("MATCH (p:Pattern {run: 'none'}) DETACH DELETE p").consume()
    return 2 * n / taken


# -------------------------------------------------------------------------------------------------------------- asking


def ask(given: argparse.Namespace) -> Table:
    """Milliseconds of the same questions in both engines, from Python to an Arrow table."""
    publication = made(given)
    graph = publication.hierarchy
    found: Table = []
    with tempfile.TemporaryDirectory(dir=given.folder) as folder, EmbeddedStore(Path(folder) / "graph") as embedded:
        embedded.publish(publication)
        with server(given) as remote:
            remote.publish(publication)
            for engine, store in (("embedded", embedded), ("Neo4j", remote)):
                found += answers(engine, store, publication, given.questions)
            run = publication.run_key
            cached_snapshot(embedded, run, Path(folder) / "cache")
            taken = [timed(cached_snapshot, embedded, run, Path(folder) / "cache") for _ in range(20)]
            found.append(row("cache", "snapshot opens", taken, ""))
            same = snapshot.fingerprint_of(embedded.export(run)) == snapshot.fingerprint_of(remote.export(run))
            same = same and snapshot.fingerprint_of(graph) == snapshot.fingerprint_of(embedded.export(run))
            print(f"both exports equal what was published: {same}", file=sys.stderr)
    return found


def row(engine: str, what: str, taken: list[float], rows: Any) -> dict[str, Any]:
    ms = np.array(taken) * 1000
    return {
        "engine": engine, "question": what, "p50 ms": float(np.median(ms)), "p95 ms": float(np.quantile(ms, 0.95)),
        "asked": len(ms), "rows": rows,
    }  # fmt: skip


def answers(engine: str, store: GraphStore, publication: Publication, questions: int) -> Table:
    graph, run = publication.hierarchy, publication.run_key
    draw = np.random.default_rng(1)
    found: Table = []
    dominated = graph.dominated[graph.pattern]
    oracles: Mapping[str, tuple[Callable[..., npt.NDArray[np.int64]], npt.NDArray[np.int64]]] = {
        "r_is": (r_is, np.flatnonzero(dominated)),
        "r_mc": (r_mc, np.flatnonzero(~dominated)),
        "r_id": (r_id, np.flatnonzero(dominated)),
    }

    def asked(name: str, limit: int, **params: Any) -> tuple[float, pa.Table]:
        query = named_query(name)
        started = time.perf_counter()
        answer = store.query(query, {"run": run, **params}, limit=limit, timeout_s=120)
        return time.perf_counter() - started, answer

    for name, (oracle, among) in oracles.items():
        for limit in (100, 1_000_000) if name == "r_id" else (10_000,):
            taken, sizes = [], []
            for turn, number in enumerate(draw.choice(among, questions + 3, replace=False).tolist()):
                key = f"{publication.dataset_key}/{number:012d}"
                seconds, answer = asked(name, limit, instance=key)
                if turn < 3:
                    continue  # plans and pages are cached by then
                expected = set(graph.instance[oracle(graph, number)].tolist())
                got = set(answer["idx"].to_pylist())
                if not (got == expected if limit != 100 else got <= expected and len(got) == min(100, len(expected))):
                    raise SystemExit(f"{engine}: {name} of {key} is not what the oracle says")
                taken.append(seconds)
                sizes.append(answer.num_rows)
            found.append(row(engine, f"{name}, {'first 100' if limit == 100 else 'all'}", taken, int(np.median(sizes))))
    for name, params in (
        *((name, {}) for name in given_covers()),
        ("shared_patterns", {"a": "class 3", "b": "class 17"}),
        ("confused_classes", {}),
    ):
        for _ in range(3):
            asked(name, 10_000, **params)
        pairs = [asked(name, 10_000, **params) for _ in range(questions)]
        found.append(row(engine, name, [seconds for seconds, _ in pairs], pairs[0][1].num_rows))
    return found


def given_covers() -> list[str]:
    """The named queries over COVERS that need the run alone."""
    return ["dominance", "mixed_patterns"]


# -------------------------------------------------------------------------------------------------------------- bundle


def bundle(given: argparse.Namespace) -> Table:
    """An embedded publication, its bundle, and neo4j-admin's import of it."""
    publication = made(given)
    found: Table = []
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        n_rows = sum(rows.n for rows in publication_tables(publication, SCHEMA).values())
        with EmbeddedStore(Path(folder) / "graph") as store, peak_memory() as peak:
            seconds = timed(store.publish, publication)
            found.append({"what": "embedded publish", "rows": n_rows, "seconds": seconds, "peak MB": peak[0]})
            seconds = timed(store.write_bundle, Path(folder) / "bundle")
            found.append({"what": "bundle written", "rows": n_rows, "seconds": seconds, "peak MB": peak[0]})
        home = Path(folder) / "neo4j"
        command = [sys.executable, str(ROOT / "deploy/neo4j/server.py")]
        sizes = ["--home", str(home), "--heap", given.heap, "--page-cache", given.page_cache]
        seconds = timed(lambda: subprocess.run([*command, "import", str(Path(folder) / "bundle"), *sizes], check=True))
        found.append({"what": "neo4j-admin import, until the server answers", "rows": n_rows, "seconds": seconds})
        subprocess.run([*command, "stop", "--home", str(home)], check=True)
    return found


def show(table: Table) -> None:
    names = list(dict.fromkeys(name for line in table for name in line))
    print("| " + " | ".join(names) + " |")
    print("|" + "---|" * len(names))
    for line in table:
        cells = [line.get(name, "") for name in names]
        print("| " + " | ".join(f"{c:,.4g}" if isinstance(c, float) and abs(c) < 1000 else f"{c:,.0f}"
                                if isinstance(c, (int, float)) else str(c) for c in cells) + " |")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("load", "ask", "bundle"))
    parser.add_argument("--instances", type=int, default=1_000_000)
    parser.add_argument("--patterns", type=int, default=2_000)
    parser.add_argument("--classes", type=int, default=172)
    parser.add_argument("--labels", type=float, default=2.4, help="labels an instance, about")
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--heap", default="3g")
    parser.add_argument("--page-cache", default="1g")
    parser.add_argument("--folder", help="where everything is written (default: the temporary folder)")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.quick:
        given.instances //= 50
        given.patterns = min(given.patterns, 200)
    table = {"load": load, "ask": ask, "bundle": bundle}[given.part](given)
    show(table)
    print(f"peak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB", file=sys.stderr)
    if given.json:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
        machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        given.json.write_text(
            json.dumps({"machine": machine, "commit": commit.stdout.strip(), "figures": table}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
