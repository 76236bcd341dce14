"""The rows of a run -> Neo4j, each exactly once, whatever is killed meanwhile; no word of the driver here.

Rows are counted in units of UNIT. A transaction writes some units and, in the same commit, a node (:LoadBatch {key})
for each, whose key is unique: a unit that is there was written, one that is not was not, also where the answer to a
commit was lost. So a retry, or a second loader of the same run, goes on with the units that are missing. When the
server has too little memory for a transaction, fewer units go into one.

- A run's own rows (patterns and their edges) are made by CREATE, under the ledger alone.
- Rows that all runs of a data set share (instances, classes, labels) are made by MERGE, because another run may have
  brought some of them. Their ledger belongs to the rows themselves, by a digest.
- Edges of a transaction are sorted by their target, and no two transactions have a source in common but for the last of
  one and the first of the next; so writers, and loaders, wait for each other and do not block each other. Should the
  server find a deadlock all the same, it takes one transaction back and the driver sends it again. An end that is not
  there takes its whole transaction back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from typing import Any, TypeAlias

import pyarrow as pa

from csrms_dist.basics.progress import Progress
from csrms_dist.errors import StoreError
from graphstore.rows import Tables
from graphstore.schema import EdgeType, NodeType, Schema

UNIT = 2_500
UNITS = 4
"""Units of one transaction: 10,000 rows."""
WRITERS = 2
"""Transactions at a time: one is made ready and sent while the server is at the other."""

LEDGER = "CREATE CONSTRAINT LoadBatch_key IF NOT EXISTS FOR (b:LoadBatch) REQUIRE b.key IS UNIQUE"
LEDGER_INDEX = "CREATE INDEX LoadBatch_of IF NOT EXISTS FOR (b:LoadBatch) ON (b.of)"
_NOTE = "UNWIND $units AS unit CREATE (:LoadBatch {key: unit, of: $of}) RETURN count(*) AS n"
FORGET = "MATCH (b:LoadBatch {of: $of}) WITH b LIMIT $n DELETE b RETURN count(*) AS n"
_NOTED = "MATCH (b:LoadBatch {of: $of}) RETURN collect(b.key) AS keys"


class AlreadyWrittenError(Exception):
    """A unit of this transaction is in the ledger: nothing of it was written again."""


class TooLargeError(Exception):
    """The server has too little memory for a transaction of this size: nothing of it was written."""


Statement: TypeAlias = tuple[str, dict[str, Any], int]
"""(Cypher, parameters, the number that its column `n` must hold)."""
Write = Callable[[Sequence[Statement]], None]
"""All statements in one transaction, or none. Raises AlreadyWrittenError, TooLargeError, StoreError."""
Ask = Callable[[str, dict[str, Any]], Any]
"""(Cypher, parameters) -> the first value of the first row, or None."""


def writing(kind: NodeType | EdgeType, schema: Schema) -> str:
    """The statement that writes a batch of rows of this type.

    Nodes: $rows, each the list of the columns. Edges: $groups of (key of the target, rows), a row being the key of the
    source and the columns. Names in it come from the schema, values from the parameters.
    """
    verb = "CREATE" if schema.of_run(kind) else "MERGE"
    if isinstance(kind, EdgeType):
        columns = ", ".join(f"e.{column.name} = r[{place}]" for place, column in enumerate(kind.columns, 1))
        return (
            f"UNWIND $groups AS g MATCH (b:{kind.target} {{{schema.node(kind.target).key}: g[0]}}) "
            f"UNWIND g[1] AS r MATCH (a:{kind.source} {{{schema.node(kind.source).key}: r[0]}}) "
            f"{verb} (a)-[e:{kind.name}]->(b) {f'SET {columns} ' if columns else ''}RETURN count(*) AS n"
        )
    columns = ", ".join(f"n.{column.name} = r[{place}]" for place, column in enumerate(kind.columns) if place)
    return f"UNWIND $rows AS r {verb} (n:{kind.label} {{{kind.key}: r[0]}}) SET {columns} RETURN count(*) AS n"


class Loader:
    """Writes the tables of one run, or one addition, in the schema's order.

    schema, tables: as `publication_tables` and `addition_tables` make them.
    run: the key of the run or the addition.
    shared: the ledger of the rows that the run shares with others.
    write, ask: the transactions of the server.
    """

    def __init__(self, schema: Schema, tables: Tables, run: str, shared: str, write: Write, ask: Ask) -> None:
        self.schema, self.tables = schema, tables
        self._run, self._shared, self._write, self._ask = run, shared, write, ask
        self._units = UNITS
        self._lock = threading.Lock()

    def total(self, skip: Sequence[str]) -> int:
        """How many rows there are to write."""
        return sum(self.tables[kind.table].n for kind in self._kinds(skip))

    def _kinds(self, skip: Sequence[str]) -> list[NodeType | EdgeType]:
        return [kind for kind in self.schema.types if kind.table in self.tables and kind.table not in skip]

    def load(self, skip: Sequence[str] = (), progress: Progress | None = None) -> None:
        """Write what is missing of all tables but `skip`, which the caller writes. Progress counts rows."""
        ledgers = {of: set(self._ask(_NOTED, {"of": of}) or ()) for of in (self._shared, self._run)}
        kinds = self._kinds(skip)
        if progress:
            progress.total = progress.total or self.total(skip)
            progress.resume_at(
                sum(
                    min(UNIT, self.tables[kind.table].n - unit * UNIT)
                    for kind in kinds
                    for unit in range(self._count(kind))
                    if self._key(kind, unit) in ledgers[self._of(kind)]
                )
            )
        for kind in kinds:
            self._load(kind, ledgers[self._of(kind)], progress)

    def _of(self, kind: NodeType | EdgeType) -> str:
        return self._run if self.schema.of_run(kind) else self._shared

    def _key(self, kind: NodeType | EdgeType, unit: int) -> str:
        return f"{self._of(kind)} {kind.table} {unit}"

    def _count(self, kind: NodeType | EdgeType) -> int:
        return -(-self.tables[kind.table].n // UNIT)

    def _load(self, kind: NodeType | EdgeType, done: set[str], progress: Progress | None) -> None:
        todo = deque(unit for unit in range(self._count(kind)) if self._key(kind, unit) not in done)
        with ThreadPoolExecutor(WRITERS) as pool:
            writers = [pool.submit(self._write_units, kind, todo, progress) for _ in range(WRITERS)]
            try:
                for writer in as_completed(writers):
                    writer.result()
            except BaseException:
                todo.clear()  # the other writer ends with the transaction that it is in
                raise

    def _write_units(self, kind: NodeType | EdgeType, todo: deque[int], progress: Progress | None) -> None:
        """Write units until none is left; several threads may do so at once."""
        while units := _taken(todo, self._units):
            rows = self._statement(kind, units)
            keys = [self._key(kind, unit) for unit in units]
            try:
                self._write([(_NOTE, {"units": keys, "of": self._of(kind)}, len(keys)), rows])
            except AlreadyWrittenError:
                done = set(self._ask(_NOTED, {"of": self._of(kind)}) or ())
                todo.extendleft(unit for unit in units if self._key(kind, unit) not in done)
            except TooLargeError as error:
                if len(units) == 1:
                    raise StoreError(
                        f"{UNIT} rows of {kind.table}",
                        got="too little memory for them in one transaction of the Neo4j server",
                        remedy="raise dbms.memory.transaction.total.max or the heap of the server",
                    ) from error
                self._units = len(units) // 2
                todo.extendleft(reversed(units))
            else:
                if progress:
                    with self._lock:
                        progress.update(rows[2])

    def _statement(self, kind: NodeType | EdgeType, units: Sequence[int]) -> Statement:
        rows = self.tables[kind.table]
        parts = [rows.make(unit * UNIT, min(rows.n, (unit + 1) * UNIT)) for unit in units]
        columns = [column.to_pylist() for column in pa.concat_tables(parts).columns]
        if isinstance(kind, NodeType):
            listed = [list(row) for row in zip(*columns, strict=True)]
            return writing(kind, self.schema), {"rows": listed}, len(listed)
        return writing(kind, self.schema), {"groups": _by_target(columns)}, len(columns[0])


def _taken(todo: deque[int], n: int) -> list[int]:
    """The next n units at the most."""
    units: list[int] = []
    with suppress(IndexError):
        while len(units) < n:
            units.append(todo.popleft())
    return units


def _by_target(columns: list[list[Any]]) -> list[list[Any]]:
    sources, targets, *others = columns
    groups: dict[str, list[list[Any]]] = {}
    for target, *row in zip(targets, sources, *others, strict=True):
        groups.setdefault(target, []).append(row)
    return [[target, groups[target]] for target in sorted(groups)]


def clearing(schema: Schema) -> Iterator[str]:
    """The statements that remove the rows of $run but for its own node, a bounded number at a time, edges first."""
    for edge in schema.edges:
        if edge.run_column:
            yield (
                f"MATCH (:{edge.source})-[e:{edge.name} {{{edge.run_column}: $run}}]->(:{edge.target}) "
                "WITH e LIMIT $n DELETE e RETURN count(*) AS n"
            )
    for node in schema.nodes:
        if node.run_column and node.label != "Run":
            own = f"MATCH (p:{node.label} {{{node.run_column}: $run}})"
            yield f"{own}-[e]-() WITH e LIMIT $n DELETE e RETURN count(*) AS n"
            yield f"{own} WITH p LIMIT $n DELETE p RETURN count(*) AS n"
    yield "MATCH (b:LoadBatch {of: $run}) WITH b LIMIT $n DELETE b RETURN count(*) AS n"


def counting(schema: Schema) -> Iterator[tuple[str, str]]:
    """For each table of a run's own rows: its name, and the query that counts those of $run."""
    for kind in schema.types:
        if not schema.of_run(kind) or schema.of_addition(kind):
            continue
        if isinstance(kind, NodeType):
            yield kind.table, f"MATCH (n:{kind.label} {{{kind.run_column}: $run}}) RETURN count(n) AS n"
            continue
        source, target = schema.node(kind.source).run_column, schema.node(kind.target).run_column
        edge = f" {{{kind.run_column}: $run}}" if kind.run_column else ""
        a = f" {{{source}: $run}}" if source and not edge else ""
        b = f" {{{target}: $run}}" if target and not edge and not a else ""
        yield (
            kind.table,
            f"MATCH (:{kind.source}{a})-[e:{kind.name}{edge}]->(:{kind.target}{b}) RETURN count(e) AS n",
        )
