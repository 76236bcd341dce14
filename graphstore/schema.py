"""The node and edge types of the graph, as one table; the stores read it and know no type by name.

Another method extends the table (`SCHEMA.extended(nodes=..., edges=...)`) and hands its rows in as
`Publication.extra`, or as `Addition.rows` those of types with a column `addition`; no store changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

SCHEMA_VERSION = 3
"""Raised when a type changes. Version 2: Run.content. Version 3: additions, Run.schema_version, more
properties of IN_PATTERN and LOOKS_LIKE."""

KINDS: dict[str, pa.DataType] = {
    "STRING": pa.string(),
    "INT64": pa.int64(),
    "DOUBLE": pa.float64(),
    "FLOAT": pa.float32(),
    "BOOL": pa.bool_(),
}


@dataclass(frozen=True)
class Column:
    """A property: its name and its type, one of KINDS."""

    name: str
    kind: str


@dataclass(frozen=True)
class NodeType:
    """A label. The first column is the key, unique over the whole store.

    Nodes with a column `run` belong to that run, those with a column `addition` beside it to that addition; others are
    shared by all runs of a data set. indexed: columns by which nodes are looked up, beside the key and `run`.
    """

    label: str
    columns: tuple[Column, ...]
    indexed: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """The name of this type's table of rows."""
        return self.label

    @property
    def key(self) -> str:
        return self.columns[0].name

    @property
    def run_column(self) -> str:
        """The column that holds the key of the run to which a node belongs, or ''."""
        return self.key if self.label == "Run" else _named("run", self.columns)

    @property
    def addition_column(self) -> str:
        """The column that holds the key of the addition to which a node belongs, or ''."""
        return self.key if self.label == "Addition" else _named("addition", self.columns)

    def arrow(self) -> pa.Schema:
        """The Arrow schema of this type's table."""
        return pa.schema([(column.name, KINDS[column.kind]) for column in self.columns])


@dataclass(frozen=True)
class EdgeType:
    """An edge type between two labels; at most one edge for each (from, to) and, if it has one, addition or run.

    Entries of one name, with other ends, are one type in the graph; their columns must agree.
    """

    name: str
    source: str
    target: str
    columns: tuple[Column, ...] = ()

    @property
    def table(self) -> str:
        """The name of this type's table of rows."""
        return f"{self.source}.{self.name}.{self.target}"

    @property
    def run_column(self) -> str:
        """The column that holds the key of the run to which an edge belongs, or '' if its ends say it."""
        return _named("run", self.columns)

    @property
    def addition_column(self) -> str:
        """The column that holds the key of the addition to which an edge belongs, or '' if its ends say it."""
        return _named("addition", self.columns)

    @property
    def owner_column(self) -> str:
        """The column of the closest owner: the addition, else the run, else ''."""
        return self.addition_column or self.run_column

    @property
    def ends(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """The columns of both ends with the labels that their keys are of."""
        return ("from", self.source), ("to", self.target)

    @property
    def unique_by(self) -> tuple[str, ...]:
        return ("from", "to", self.owner_column) if self.owner_column else ("from", "to")

    def arrow(self) -> pa.Schema:
        """The Arrow schema of this type's table: `from` and `to` hold the keys of both ends."""
        ends = [("from", pa.string()), ("to", pa.string())]
        return pa.schema(ends + [(column.name, KINDS[column.kind]) for column in self.columns])


@dataclass(frozen=True)
class Schema:
    """Node and edge types in the order in which they are written. version: with which graphs of them are stamped."""

    nodes: tuple[NodeType, ...]
    edges: tuple[EdgeType, ...]
    version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        for kind in self.types:
            if kind.addition_column and not kind.run_column:
                raise ValueError(f"{kind.table} has a column `addition` and needs a column `run` beside it")

    @property
    def types(self) -> tuple[NodeType | EdgeType, ...]:
        return (*self.nodes, *self.edges)

    def extended(self, nodes: tuple[NodeType, ...] = (), edges: tuple[EdgeType, ...] = ()) -> Schema:
        """This table with more types behind it."""
        return Schema((*self.nodes, *nodes), (*self.edges, *edges), self.version)

    def node(self, label: str) -> NodeType:
        return next(t for t in self.nodes if t.label == label)

    def of_addition(self, kind: NodeType | EdgeType) -> bool:
        """Whether rows of this type belong to an addition, by a column or an end, and so to its run."""
        if isinstance(kind, EdgeType) and not kind.owner_column:
            return any(self.node(label).addition_column for label in (kind.source, kind.target))
        return bool(kind.addition_column)

    def of_run(self, kind: NodeType | EdgeType) -> bool:
        """Whether rows of this type belong to one run or an addition to it; else all runs of a data set share them."""
        if isinstance(kind, EdgeType) and not kind.run_column:
            return any(self.node(label).run_column for label in (kind.source, kind.target))
        return bool(kind.run_column)

    def constraints(self) -> list[str]:
        """The statements that make keys unique, and look-ups fast, in Neo4j; each may be repeated."""
        statements = []
        for t in self.nodes:
            statements.append(
                f"CREATE CONSTRAINT {t.label}_{t.key} IF NOT EXISTS FOR (n:{t.label}) REQUIRE n.{t.key} IS UNIQUE"
            )
            statements += [
                f"CREATE INDEX {t.label}_{column} IF NOT EXISTS FOR (n:{t.label}) ON (n.{column})"
                for column in (t.run_column, *t.indexed)
                if column not in ("", t.key)
            ]
        statements += [
            f"CREATE INDEX {name}_{column} IF NOT EXISTS FOR ()-[e:{name}]-() ON (e.{column})"
            for name, column in dict.fromkeys(
                (t.name, column) for t in self.edges for column in (t.run_column, t.addition_column) if column
            )
        ]
        return statements

    def ddl(self) -> list[str]:
        """The statements that make the tables in the embedded engine."""
        nodes = [f"CREATE NODE TABLE {t.label}({_declare(t.columns)}, PRIMARY KEY({t.key}))" for t in self.nodes]
        edges = []
        for name in dict.fromkeys(t.name for t in self.edges):
            same = [t for t in self.edges if t.name == name]
            ends = ", ".join(f"FROM {t.source} TO {t.target}" for t in same)
            edges.append(f"CREATE REL TABLE {name}({ends}{', ' if same[0].columns else ''}{_declare(same[0].columns)})")
        return nodes + edges

    def copies(self) -> list[tuple[str, str, str]]:
        """For each table of rows: its name, the embedded engine's name of it, and the ends that COPY must be told."""
        nodes = [(t.table, t.label, "") for t in self.nodes]
        return nodes + [(t.table, t.name, f" (from='{t.source}', to='{t.target}')") for t in self.edges]

    def counting(self) -> list[tuple[str, str]]:
        """For each table of rows: its name and the query that counts what was stored of it."""
        nodes = [(t.table, f"MATCH (n:{t.label}) RETURN count(*) AS n") for t in self.nodes]
        return nodes + [
            (t.table, f"MATCH (:{t.source})-[e:{t.name}]->(:{t.target}) RETURN count(*) AS n") for t in self.edges
        ]


def _named(name: str, columns: tuple[Column, ...]) -> str:
    return next((column.name for column in columns if column.name == name), "")


def _declare(columns: tuple[Column, ...]) -> str:
    return ", ".join(f"{column.name} {column.kind}" for column in columns)


def _columns(text: str) -> tuple[Column, ...]:
    """'key STRING, idx INT64' -> columns."""
    return tuple(Column(*part.split()) for part in text.split(","))


SCHEMA = Schema(
    nodes=(
        NodeType(
            "Dataset",
            _columns(
                "key STRING, name STRING, version STRING, multi_label BOOL, n_instances INT64, n_classes INT64, "
                "live_run STRING, schema_version INT64"
            ),
        ),
        NodeType("Class", _columns("key STRING, dataset STRING, idx INT64, name STRING")),
        NodeType(
            "Instance",
            _columns("key STRING, dataset STRING, idx INT64, source_id STRING, split STRING, uri STRING"),
            indexed=("source_id",),
        ),
        NodeType(
            "Run",
            _columns(
                "key STRING, dataset STRING, status STRING, created_ms INT64, params_json STRING, vigilance DOUBLE, "
                "dominance_threshold DOUBLE, features_uri STRING, prototypes_uri STRING, n_patterns INT64, "
                "content STRING, schema_version INT64"
            ),
        ),
        NodeType(
            "Pattern", _columns("key STRING, run STRING, idx INT64, size INT64, dominated BOOL, top_share DOUBLE")
        ),
        NodeType(
            "Addition",
            _columns(
                "key STRING, run STRING, kind STRING, fingerprint STRING, status STRING, created_ms INT64, "
                "params_json STRING, content STRING"
            ),
        ),
    ),
    edges=(
        EdgeType("OF_RUN", "Pattern", "Run"),
        EdgeType("OF_DATASET", "Run", "Dataset"),
        EdgeType("OF_DATASET", "Class", "Dataset"),
        EdgeType("HAS_LABEL", "Instance", "Class"),
        EdgeType(
            "IN_PATTERN",
            "Instance",
            "Pattern",
            _columns(
                "score FLOAT, difficulty FLOAT, distance FLOAT, outlier BOOL, support FLOAT, doubted STRING, "
                "suggested STRING, suggested_share FLOAT"
            ),
        ),
        EdgeType("COVERS", "Pattern", "Class", _columns("n INT64, share DOUBLE, role STRING")),
        EdgeType(
            "LOOKS_LIKE",
            "Class",
            "Class",
            _columns("run STRING, weight DOUBLE, reverse DOUBLE, lift DOUBLE, images INT64, bound DOUBLE"),
        ),
        EdgeType("OF_RUN", "Addition", "Run"),
        EdgeType(
            "PREDICTED", "Instance", "Class", _columns("addition STRING, run STRING, probability FLOAT, rank INT64")
        ),
        EdgeType("CONFUSED_WITH", "Class", "Class", _columns("addition STRING, run STRING, n INT64, share DOUBLE")),
    ),
)
