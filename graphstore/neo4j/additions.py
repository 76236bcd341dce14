"""Additions in a Neo4j server: loaded beside what is read, each row exactly once, ready in one transaction.

An addition's own rows are made under its ledger, as a run's are. The images that it brings are MERGEd, because another
run's addition may have brought them; a repeated load does that again, whatever was removed meanwhile.
"""

from __future__ import annotations

from csrms_dist.basics.progress import Progress
from csrms_dist.errors import StoreError
from graphstore.added_images import ADDED, HAS_LABEL, IN_PATTERN, INSTANCE, whole_range
from graphstore.additions import check_against
from graphstore.backend import refuse_older, refuse_other_rows
from graphstore.neo4j.driver import Connection
from graphstore.neo4j.load import FORGET, Loader
from graphstore.read_back import Read
from graphstore.rows import Tables
from graphstore.schema import EdgeType, NodeType, Schema
from graphstore.store import RunInfo

_STORED = "MATCH (a:Addition {key: $key}) RETURN a.content AS content, a.status AS status"
UNUSED_IMAGES = f"""
MATCH (i:Instance)
WHERE i.key >= $first AND i.key < $last AND i.dataset = $dataset AND i.split = '{ADDED}'
  AND NOT EXISTS {{ (i)-[:IN_PATTERN]->() }}
  AND NOT EXISTS {{ MATCH (a:Addition {{status: 'loading'}}) WHERE a.run STARTS WITH $dataset + ':' }}
WITH i LIMIT $n
DETACH DELETE i
RETURN count(*) AS n
"""
"""Removes $n added images that are in no run; none while an addition to the data set is loading: it may want them."""

_BEGIN = "MERGE (a:Addition {key: $key}) ON CREATE SET a += $columns, a.status = 'loading' RETURN count(a) AS n"
_READY = "MATCH (a:Addition {key: $key}) SET a.status = 'ready' RETURN count(a) AS n"
_NOTE = "MATCH (d:Dataset {key: $dataset}) SET d.n_instances = $n_instances RETURN count(d) AS n"
_LOADING = """
MATCH (a:Addition {status: 'loading'})
WHERE a.run STARTS WITH $dataset + ':'
RETURN a.key AS key, a.run AS run
LIMIT 1
"""
_INSTANCES = """
MATCH (i:Instance)
WHERE i.key >= $first AND i.key < $last AND i.dataset = $dataset
RETURN count(*) AS n
"""
_IMAGES = """
UNWIND $keys AS key
MATCH (i:Instance {key: key})
RETURN count(i) AS images, sum(COUNT { (i)-[:HAS_LABEL]->() }) AS labels,
  sum(COUNT { (i)-[:IN_PATTERN]->(:Pattern {run: $run}) }) AS patterns
"""


def ledgers_of(addition: str) -> tuple[str, str]:
    """The ledgers of an addition's own rows and of the images that it brings."""
    return addition, f"{addition} images"


def count_instances(connection: Connection, dataset: str) -> int:
    """The images of a data set."""
    return int(connection.first(_INSTANCES, whole_range(dataset), write=False)["n"])


def note_instances(connection: Connection, dataset: str) -> None:
    """Write down how many images a data set has."""
    n = count_instances(connection, dataset)
    connection.write([(_NOTE, {"dataset": dataset, "n_instances": n}, 1)])


def add(
    connection: Connection, schema: Schema, tables: Tables, run: RunInfo, read: Read, progress: Progress | None
) -> None:
    """Check an addition with its run, write its rows, or those that are missing, compare counts and make it ready.

    tables: as `addition_tables` gives them. Raises DataError, StoreError.
    """
    refuse_older(run.key, run.schema_version, schema.version)
    columns = tables["Addition"].table().to_pylist()[0]
    key = columns.pop("key")
    state = connection.first(_STORED, {"key": key}, write=False)
    if state:
        refuse_other_rows(key, state["content"], columns["content"])
        if state["status"] == "ready":
            return
    else:  # one that is loading already was checked when it began
        if INSTANCE in tables:
            _refuse_loading(connection, run.dataset_key)
        check_against(tables, schema, run, read)
    connection.write([(_BEGIN, {"key": key, "columns": columns}, 1)])
    own, images = ledgers_of(key)
    connection.repeat(FORGET, {"of": images})
    Loader(schema, tables, own, images, connection.write, connection.ask).load(("Addition",), progress)
    _verify(connection, schema, tables, key, run.key)
    if INSTANCE in tables:
        note_instances(connection, run.dataset_key)
    connection.write([(_READY, {"key": key}, 1)])


def _refuse_loading(connection: Connection, dataset: str) -> None:
    """Raise StoreError while another addition to the data set is half loaded: what its images are is not known yet."""
    other = connection.first(_LOADING, {"dataset": dataset}, write=False)
    if other:
        raise StoreError(
            f"addition {other['key']}", got="status loading", expected="ready before more images are added",
            remedy=f"add it again to finish it, or retire {other['run']}",
        )  # fmt: skip


def _verify(connection: Connection, schema: Schema, tables: Tables, key: str, run: str) -> None:
    expected = {kind.table: tables[kind.table].n for kind in schema.types if kind.table in tables}
    found = dict.fromkeys(expected, 0)
    for kind in schema.types:
        if kind.table in tables and schema.of_addition(kind):
            found[kind.table] = connection.first(_counting(kind, schema), {"addition": key}, write=False)["n"]
    for block in tables[INSTANCE].blocks() if INSTANCE in tables else ():
        counts = connection.first(_IMAGES, {"keys": block["key"].to_pylist(), "run": run}, write=False)
        for table, name in ((INSTANCE, "images"), (HAS_LABEL, "labels"), (IN_PATTERN, "patterns")):
            if table in found:
                found[table] += counts[name]
    wrong = next((table for table in expected if expected[table] != found[table]), None)
    if wrong:
        raise StoreError(
            f"addition {key}", got=f"{found[wrong]} rows of {wrong} in the database", expected=str(expected[wrong]),
            remedy="make another run live, retire this one and publish it again",
        )  # fmt: skip


def _counting(kind: NodeType | EdgeType, schema: Schema) -> str:
    """The query that counts the rows of $addition of one of its own types."""
    column = kind.addition_column
    own = f" {{{column}: $addition}}" if column else ""
    if isinstance(kind, NodeType):
        return f"MATCH (n:{kind.label}{own}) RETURN count(n) AS n"
    ends = [schema.node(label).addition_column for _, label in kind.ends]
    a, b = ("" if own or not end else f" {{{end}: $addition}}" for end in ends)
    return f"MATCH (:{kind.source}{a})-[e:{kind.name}{own}]->(:{kind.target}{b}) RETURN count(e) AS n"
