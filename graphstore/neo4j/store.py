"""The store in a Neo4j server.

One database holds all data sets and runs. A run is loaded under the status `loading`, in transactions that are written
exactly once (`load`); its counts are compared with what was published, and one transaction makes it `ready` and live.
Until then readers, who pass the key of the live run to every query, see the run that was live before. A loader, or a
server, killed at any moment leaves a run that the same publication completes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from csrms_dist.basics.progress import Progress
from csrms_dist.errors import ConfigError, DataError, StoreError
from csrms_dist.labels import label_lists
from graphstore.added_images import ADDED, INSTANCE, whole_range
from graphstore.additions import addition_tables
from graphstore.backend import (
    Backend,
    check_version,
    nothing_published,
    ready_run,
    refuse_other_content,
    refuse_retiring_live,
    unknown_run,
)
from graphstore.checks import contradiction
from graphstore.cypher import parameters
from graphstore.neo4j.additions import UNUSED_IMAGES, add, count_instances, ledgers_of, note_instances
from graphstore.neo4j.answers import table
from graphstore.neo4j.driver import UNVERIFIED, WRITE_S, Answer, Connection
from graphstore.neo4j.load import FORGET, LEDGER, LEDGER_INDEX, Loader, clearing, counting
from graphstore.queries import NamedQuery
from graphstore.read_back import Columns, read_runs
from graphstore.rows import BLOCK, Rows, Tables, content_of
from graphstore.schema import SCHEMA, Schema
from graphstore.store import ROW_LIMIT, Addition, HeldOut, Publication, RunInfo, dataset_of
from graphstore.tables import instance_keys, publication_tables

LONGEST_ID = 4096  # bytes; an index entry of Neo4j ends near 8,000
AS_LISTS = 200
"""From this limit on, a named query's answer is fetched as lists: one record a row costs several times as much."""

_OWN = ("Dataset", "Run")  # the tables that the store writes itself
_BEGIN_DATASET = """
MERGE (d:Dataset {key: $key})
ON CREATE SET d.live_run = '', d.n_instances = 0,
  d.name = $name, d.version = $version, d.multi_label = $multi_label, d.n_classes = $n_classes
SET d.schema_version = $schema_version
RETURN d.key AS key, d.name AS name, d.version AS version, d.multi_label AS multi_label, d.n_classes AS n_classes,
  d.shared AS shared
"""
_NEW_SHARED = "MATCH (d:Dataset {key: $key}) SET d.shared = $shared RETURN count(d) AS n"
_STORED_RUN = """
MATCH (r:Run {key: $run})
RETURN r.content AS content, r.status AS status, coalesce(r.schema_version, 2) AS version
"""
_BEGIN_RUN = "MERGE (r:Run {key: $run}) ON CREATE SET r += $columns, r.status = 'loading' RETURN count(r) AS n"
_CLASSES = Columns("MATCH (c:Class {dataset: $dataset}) ", (("idx", "c.idx"), ("name", "c.name")))
_NAMES = Columns(
    "UNWIND $keys AS key MATCH (i:Instance {key: key}) ",
    (("key", "i.key"), ("source_id", "i.source_id"), ("split", "i.split")),
)
_HELD_OUT_LABELS = Columns(
    "UNWIND $keys AS key MATCH (i:Instance {key: key})-[:IN_PATTERN]->(:Pattern {run: $run}) WHERE i.split <> 'train' "
    "OPTIONAL MATCH (i)-[:HAS_LABEL]->(c:Class) ",
    (("idx", "i.idx"), ("class", "coalesce(c.idx, -1)")),
)
_GO_LIVE = """
MATCH (d:Dataset {key: $dataset}), (r:Run {key: $run})
SET r.status = 'ready', d.live_run = $run, d.n_instances = $n_instances
RETURN count(*) AS n
"""
_LABELS = """
MATCH (p:Pattern {run: $run})<-[:IN_PATTERN]-(i:Instance)
RETURN sum(COUNT { (i)-[:HAS_LABEL]->() }) AS n
"""
_ADDITIONS = "MATCH (a:Addition {run: $run}) RETURN collect(a.key) AS keys"
_STATUS = "MATCH (r:Run {key: $run}) SET r.status = $status RETURN count(r) AS n"
_REMOVE_RUN = "MATCH (r:Run {key: $run}) WITH r LIMIT $n DETACH DELETE r RETURN count(*) AS n"
_LIVE = "MATCH (d:Dataset) WHERE d.live_run <> '' RETURN d.key AS key, d.live_run AS live_run"
_VERSION = "MATCH (d:Dataset) RETURN max(d.schema_version) AS version"


class Neo4jStore(Backend):
    """A GraphStore in a Neo4j 5 server.

    uri, username, password, database, unverified: see Connection, also for the errors.
    schema: the node and edge types, for a method that adds its own.

    A pickle holds no login: where it is opened, the environment names the server.
    """

    def __init__(
        self,
        uri: str,
        username: str,
        password: str,
        database: str = "neo4j",
        *,
        schema: Schema = SCHEMA,
        unverified: bool = False,
    ) -> None:
        self.connection = Connection(uri, username, password, database, unverified=unverified)
        self.schema = schema
        self._prepared = self._checked = False
        self._newest: set[str] = set()  # runs whose rows are of our schema

    @classmethod
    def from_environment(cls, schema: Schema = SCHEMA) -> Neo4jStore:
        """The store that NEO4J_URI, NEO4J_USERNAME (neo4j), NEO4J_PASSWORD and NEO4J_DATABASE (neo4j) name."""
        values = {name: os.environ.get(f"NEO4J_{name}", "") for name in ("URI", "USERNAME", "PASSWORD", "DATABASE")}
        for name in ("URI", "PASSWORD"):
            if not values[name]:
                raise ConfigError(
                    f"the variable NEO4J_{name}", got="nothing", expected="a value for the Neo4j server",
                    remedy="set it, or unset NEO4J_URI for the embedded store",
                )  # fmt: skip
        return cls(
            values["URI"],
            values["USERNAME"] or "neo4j",
            values["PASSWORD"],
            values["DATABASE"] or "neo4j",
            schema=schema,
            unverified=os.environ.get(UNVERIFIED, "").lower() in ("1", "true", "yes"),
        )

    def __repr__(self) -> str:
        return f"Neo4jStore({self.connection.uri!r}, database={self.connection.database!r})"

    @property
    def location(self) -> str:
        """The address of the server and the name of the database."""
        return self.connection.location

    def __reduce__(self) -> tuple[Any, ...]:
        return Neo4jStore.from_environment, (self.schema,)  # a pickle holds no password

    def close(self) -> None:
        """Close the connections; the next call opens others."""
        self.connection.close()
        self._prepared = self._checked = False
        self._newest = set()

    # -- writing ---------------------------------------------------------------------------------------------------

    def publish(self, publication: Publication, progress: Progress | None = None) -> str:
        """Load a run, compare its counts and make it live; see GraphStore.publish."""
        tables = publication_tables(publication, self.schema)
        _refuse_long_ids(tables["Instance"])
        run = publication.run_key
        self._prepare()
        columns = tables["Run"].table().to_pylist()[0]
        state = self.connection.first(_STORED_RUN, {"run": run}, write=False) or {**columns, "status": None}
        if state["status"] == "retired":
            raise StoreError(f"run {run}", got="a run that is being removed", remedy="finish with retire, publish then")
        if state["status"] and state["version"] < self.schema.version:
            self.connection.write([(_STATUS, {"run": run, "status": "loading"}, 1)])
            self._remove(run)  # its rows lack what is asked for now: it is loaded anew
            state["status"] = None
        else:
            refuse_other_content(run, state["content"], columns["content"])
        if state["status"] != "ready":
            self._load(publication, tables, progress)
        self._make_live(run)
        return run

    def _load(self, publication: Publication, tables: Tables, progress: Progress | None) -> None:
        run, dataset = publication.run_key, publication.dataset_key
        shared_kinds = [kind for kind in self.schema.types if not self.schema.of_run(kind) and kind.table not in _OWN]
        shared = f"{dataset} {content_of((kind.table, tables[kind.table]) for kind in shared_kinds)}"
        row = tables["Dataset"].table().to_pylist()[0]
        columns = {key: row[key] for key in ("key", "name", "version", "multi_label", "n_classes")}
        stored = self.connection.first(_BEGIN_DATASET, {**columns, "schema_version": self.schema.version})
        changed = next((name for name in columns if stored[name] != columns[name]), None)
        if changed:
            raise contradiction(f"Dataset.{changed}", repr(columns[changed]))
        before = stored["shared"]
        if before != shared:  # other rows were written last: what the ledger says of these is of an earlier time
            self._refuse_contradictions(publication, tables)
            self.connection.repeat(FORGET, {"of": shared})
            self.connection.write([(_NEW_SHARED, {"key": dataset, "shared": shared}, 1)])
        columns = {name: value for name, value in tables["Run"].table().to_pylist()[0].items() if name != "key"}
        self.connection.write([(_BEGIN_RUN, {"run": run, "columns": columns}, 1)])
        Loader(self.schema, tables, run, shared, self.connection.write, self.connection.ask).load(_OWN, progress)
        self._verify(publication, tables)

    def _refuse_contradictions(self, publication: Publication, tables: Tables) -> None:
        """Raise DataError when stored runs of the data set give other names or labels to its instances or classes."""
        graph, dataset = publication.hierarchy, publication.dataset_key
        ready = [info.key for info in self.runs() if info.dataset_key == dataset and info.status == "ready"]
        if not ready:
            return
        for known in self._read(_CLASSES, {"dataset": dataset}).to_pylist():
            if publication.class_names[known["idx"]] != known["name"]:
                raise contradiction("Class.name", repr(publication.class_names[known["idx"]]))
        for run in ready:
            stored = self.export(run)
            _, theirs, ours = np.intersect1d(stored.instance, graph.instance, assume_unique=True, return_indices=True)
            if (stored.membership[theirs] != graph.membership[ours]).nnz:
                raise contradiction("Instance.HAS_LABEL.Class", "other labels of the same instances")
            if publication.held_out:
                self._refuse_other_labels(publication.held_out, dataset, run)
        for block in tables["Instance"].blocks():
            given = {row["key"]: row for row in block.select(["key", "source_id", "split"]).to_pylist()}
            for known in self._read(_NAMES, {"keys": list(given)}).to_pylist():
                if known["split"] == ADDED:
                    raise contradiction("Instance.key", f"{known['key']!r}, which was added to another run")
                for name in ("source_id", "split"):
                    if given[known["key"]][name] != known[name]:
                        raise contradiction(f"Instance.{name}", repr(given[known["key"]][name]))

    def _refuse_other_labels(self, others: HeldOut, dataset: str, run: str) -> None:
        """Raise DataError when a stored run gives other labels to the instances that are held out."""
        for start in range(0, len(others), BLOCK):
            part = others.instance[start : start + BLOCK]
            known = self._read(_HELD_OUT_LABELS, {"keys": instance_keys(dataset, part).to_pylist(), "run": run})
            stored: dict[int, set[int]] = {}
            for row in known.to_pylist():
                stored.setdefault(row["idx"], set()).add(row["class"])
            labels = label_lists(others.membership[start : start + BLOCK])
            for idx, given in zip(part.tolist(), labels, strict=True):
                if idx in stored and stored[idx] - {-1} != set(given):
                    raise contradiction("Instance.HAS_LABEL.Class", "other labels of the same instances")

    def _verify(self, publication: Publication, tables: Tables) -> None:
        """Compare what is stored of the run with what was published."""
        run = publication.run_key
        expected = {table: tables[table].n for table, _ in counting(self.schema)}
        found = {table: self.connection.first(text, {"run": run})["n"] for table, text in counting(self.schema)}
        labels = self.connection.first(_LABELS, {"run": run})["n"]
        expected["Instance.HAS_LABEL.Class"] = tables["Instance.HAS_LABEL.Class"].n
        found["Instance.HAS_LABEL.Class"] = labels
        wrong = next((table for table in expected if expected[table] != found[table]), None)
        if wrong:
            self.connection.write([(_STATUS, {"run": run, "status": "failed"}, 1)])
            raise StoreError(
                f"run {run}",
                got=f"{found[wrong]} rows of {wrong} in the database",
                expected=str(expected[wrong]),
                remedy="the live run is untouched; retire this one and publish it again",
            )

    def add(self, addition: Addition, progress: Progress | None = None) -> str:
        """Load an addition beside what is read and make it ready; see GraphStore.add."""
        tables = addition_tables(addition, self.schema)
        if INSTANCE in tables:
            _refuse_long_ids(tables[INSTANCE])
        self._prepare()
        add(self.connection, self.schema, tables, ready_run(self.runs(), addition.run), self._read, progress)
        return addition.key

    def go_live(self, run: str) -> None:
        """Make a stored run the live one, in one property; see GraphStore.go_live."""
        self._prepare()
        self._make_live(ready_run(self.runs(), run).key)

    def _make_live(self, run: str) -> None:
        dataset = dataset_of(run)
        counted = {"n_instances": count_instances(self.connection, dataset)}
        self.connection.write([(_GO_LIVE, {"dataset": dataset, "run": run, **counted}, 1)])

    def retire(self, run: str) -> None:
        """Remove a run, a bounded number of rows at a time; called again it goes on. See GraphStore.retire."""
        self._prepare()
        infos = self.runs()
        if run not in [info.key for info in infos]:
            raise unknown_run(run, [info.key for info in infos])
        refuse_retiring_live(run, self.live_run(dataset_of(run)))
        self.connection.write([(_STATUS, {"run": run, "status": "retired"}, 1)])
        self._remove(run)

    def _remove(self, run: str) -> None:
        """Delete all rows of a run and its additions; its own node last, so that a killed removal can go on."""
        for addition in self.connection.first(_ADDITIONS, {"run": run})["keys"]:
            for of in ledgers_of(addition):
                self.connection.repeat(FORGET, {"of": of})
        for text in clearing(self.schema):
            self.connection.repeat(text, {"run": run})
        self.connection.repeat(UNUSED_IMAGES, whole_range(dataset_of(run)))
        note_instances(self.connection, dataset_of(run))
        self.connection.repeat(
            "MATCH (r:Run {key: $run}) WITH r LIMIT $n DETACH DELETE r RETURN count(*) AS n", {"run": run}
        )

    def _prepare(self) -> None:
        """Constraints and indexes, once a connection; refuse a database that a newer version wrote."""
        if self._prepared:
            return
        self._is_published()
        for statement in (*self.schema.constraints(), LEDGER, LEDGER_INDEX):
            self.connection.first(statement, {})
        self.connection.first("CALL db.awaitIndexes(300)", {})
        self._prepared = True

    def _is_published(self) -> bool:
        """Whether the database holds a data set; refuses one that a newer version wrote. Asked until it does."""
        if not self._checked:
            version = self.connection.first(_VERSION, {}, write=False)["version"]
            check_version(self.location, version or 0, self.schema.version)
            self._checked = version is not None
        return self._checked

    # -- reading ---------------------------------------------------------------------------------------------------

    def _answer(
        self, text: str, params: Mapping[str, Any], named: NamedQuery | None, limit: int, timeout_s: float
    ) -> pa.Table:
        if not self._is_published():
            raise nothing_published(self.location)
        if named and AS_LISTS <= limit <= ROW_LIMIT:  # one record of more would not fit in a transaction
            found = self._lists(text, params, named, limit, timeout_s)
            if found is not None:
                return found
        answer = self._rows(text, params, limit + 1, timeout_s)
        return table(answer.names, answer.columns, named.schema if named else None)

    def _lists(
        self, text: str, params: Mapping[str, Any], query: NamedQuery, limit: int, timeout_s: float
    ) -> pa.Table | None:
        """The answer in one record with a list for each column, or None where a null would be lost on the way."""
        names = ", ".join(f"`{name}`" for name in query.columns)
        lists = ", ".join(f"collect(`{name}`) AS `{name}`" for name in query.columns)
        wrapped = (
            f"CALL () {{\n{text}\n}} WITH {names} LIMIT {int(limit) + 1} RETURN count(*) AS `count of rows`, {lists}"
        )
        count, *columns = self._rows(wrapped, params, 1, timeout_s).rows[0]
        if any(len(column) != count for column in columns):
            return None
        return table(list(query.columns), columns, query.schema)

    def _rows(self, text: str, params: Mapping[str, Any], limit: int, timeout_s: float = WRITE_S) -> Answer:
        """At most `limit` rows of an answer. Raises StoreError for a label or property that the schema lacks."""
        answer = self.connection.rows(text, params, limit, timeout_s)
        known = {kind.table for kind in self.schema.nodes} | {edge.name for edge in self.schema.edges}
        known |= {column.name for kind in self.schema.types for column in kind.columns}
        for name in answer.unknown:
            if name not in known:
                raise StoreError(
                    "the query names something that is not there", got=f"'{name}'", remedy="see the graph's schema"
                )
        return answer

    def _read(self, query: str | Columns, params: Mapping[str, Any]) -> pa.Table:
        if isinstance(query, Columns):
            wanted = {name: params[name] for name in parameters(query.by_lists)}
            answer = self._rows(query.by_lists, wanted, 1)
            return table(answer.names, answer.rows[0], None)
        answer = self._rows(query, params, 1 << 30)
        return table(answer.names, answer.columns, None)

    def _live_runs(self) -> Mapping[str, str]:
        self._is_published()
        return dict(self._rows(_LIVE, {}, ROW_LIMIT).rows)

    def _schema_version(self, run: str) -> int | None:
        if run not in self._newest:
            version = self.connection.first(_STORED_RUN, {"run": run}, write=False).get("version")
            if version is None or version < self.schema.version:
                return version
            self._newest.add(run)
        return self.schema.version

    def runs(self) -> list[RunInfo]:
        """The stored runs, in order of `created_ms`; see GraphStore.runs."""
        self._is_published()
        return read_runs(self._read)


def _refuse_long_ids(instances: Rows) -> None:
    longest = max(pc.max(pc.binary_length(block["source_id"])).as_py() or 0 for block in instances.blocks())
    if longest > LONGEST_ID:
        raise DataError(
            "ids of the images", got=f"one of {longest} bytes", expected=f"at most {LONGEST_ID}",
            remedy="nothing was written; a long text belongs into uris",
        )  # fmt: skip
