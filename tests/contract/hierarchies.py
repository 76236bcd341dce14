"""Small hierarchies and their publications, and how a named query is asked."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Any

import numpy as np

from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import LabelSpace, Membership
from graphstore.figures import Figures
from graphstore.queries import named_query
from graphstore.schema import SCHEMA
from graphstore.store import HELD_OUT_SPLITS, TIMEOUT_S, GraphStore, HeldOut, Publication

HOSTILE_NAMES = [
    "it's",
    'say "hi"',
    "x'}) DETACH DELETE n //",
    "MATCH (n) RETURN n;",
    "tab\tnew\nline\x00nul\x01",
    "日本語 🦄 é",
    "‮right to left",
    '{"json": 1}',
    "$run",
    "back\\slash `tick`",
    " spaces ",
    "",
]


def hierarchy(
    seed: int = 0, n: int = 60, n_classes: int = 4, n_patterns: int = 8, multi: bool = False
) -> HierarchyGraph:
    """Rows that keep to their class's patterns but for a third of them."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, n_classes, n)
    labels = [sorted({int(y), *map(int, rng.integers(0, n_classes, rng.integers(0, 3)))}) for y in first]
    if multi:
        labels[n // 2] = []
    pattern = np.where(rng.random(n) < 0.35, rng.integers(0, n_patterns, n), first * n_patterns // n_classes)
    pattern[:n_patterns] = np.arange(n_patterns)
    space = LabelSpace(tuple(map(str, range(n_classes))), multi)
    return build_hierarchy(
        pattern,
        rng.uniform(-1, 1, n),
        space.membership(labels if multi else [int(y) for y in first]),
        np.cumsum(rng.integers(1, 5, n)),
        dominance_threshold=0.6,
        n_positives=3,
        multi_label=multi,
    )


def reclustered(base: HierarchyGraph, other: HierarchyGraph, dominance_threshold: float = 0.6) -> HierarchyGraph:
    """The instances and labels of `base` in the patterns of `other`."""
    return build_hierarchy(
        other.pattern, other.score, base.membership, base.instance,
        dominance_threshold=dominance_threshold, n_positives=3, multi_label=False,
    )  # fmt: skip


def without_classes(graph: HierarchyGraph) -> HierarchyGraph:
    """The same rows in the same patterns, as if nobody had labelled any."""
    return build_hierarchy(
        graph.pattern, graph.score, LabelSpace(()).membership([None] * graph.n_rows), graph.instance,
        dominance_threshold=graph.dominance_threshold, n_positives=3, multi_label=False,
    )  # fmt: skip


def held_out(graph: HierarchyGraph, seed: int = 0, m: int = 24) -> HeldOut:
    """Instances of the other splits between and behind those of a hierarchy, in its patterns.

    Labels and indices follow from the hierarchy's instances alone, so another clustering of them gives the same.
    """
    labels = np.random.default_rng(len(graph.instance))
    instance = np.setdiff1d(np.arange(graph.instance[-1] + m), graph.instance)[::2][:m].astype(np.int64)
    split = [HELD_OUT_SPLITS[n % 3] for n in range(m)]
    if not graph.n_classes:
        split = ["val", "test"] * m
    several = labels.integers(1, 3, m) if graph.multi_label else np.ones(m, int)
    several = np.minimum(several, graph.n_classes)
    chosen = [sorted(labels.choice(graph.n_classes, n, replace=False).tolist()) for n in several]
    membership = LabelSpace(tuple(map(str, range(graph.n_classes))), True).membership(
        [None if word == "unlabelled" else some for word, some in zip(split[:m], chosen, strict=True)]
    )
    rng = np.random.default_rng(seed)
    return HeldOut(
        instance,
        rng.integers(0, graph.n_patterns, m).astype(np.int32),
        rng.uniform(-1, 1, m).astype(np.float32),
        membership,
        [f"img-{i}" for i in instance],
        split[:m],
        [f"images/{i}.png" for i in instance],
        figures(membership, seed + 1),
    )


def figures(membership: Membership, seed: int = 0) -> Figures:
    """Figures of any instances: drawn from few values, so that there are ties, and -1 where there is no class."""
    rng = np.random.default_rng(seed)
    n, n_classes = membership.shape
    first = np.array([membership.indices[a] if a < b else -1 for a, b in pairwise(membership.indptr)])
    return Figures(
        distance=rng.choice(np.float32([0, 0.25, 0.7, 1.1]), n),
        outlier=rng.random(n) < 0.2,
        support=np.where(first >= 0, rng.choice(np.float32([0, 0.1, 0.6]), n), np.float32(0)),
        doubted=first.astype(np.int64),
        suggested=(first + 1) % n_classes if n_classes > 1 else np.full(n, -1),
        suggested_share=rng.choice(np.float32([0.05, 0.3, 0.9]), n),
    )


def hostile_names() -> tuple[HierarchyGraph, dict[str, list[str]]]:
    """A hierarchy with HOSTILE_NAMES for its classes, and the names of its publication, in ids and addresses too."""
    graph = hierarchy(8, n=len(HOSTILE_NAMES) * 5, n_classes=len(HOSTILE_NAMES), n_patterns=3)
    ids = [f"{HOSTILE_NAMES[n % len(HOSTILE_NAMES)]}{n}" for n in range(graph.n_rows)]
    return graph, {"class_names": HOSTILE_NAMES, "ids": ids, "uris": ids}


def publication(graph: HierarchyGraph | None = None, run: str = "a", **changes: Any) -> Publication:
    graph = hierarchy() if graph is None else graph
    parts: dict[str, Any] = {
        "dataset": "animals",
        "content_hash": "0123456789abcdef",
        "class_names": [f"class {k}" for k in range(graph.n_classes)],
        "ids": [f"img-{i}" for i in graph.instance],
        "split": ["train"] * graph.n_rows,
        "uris": [f"images/{i}.png" for i in graph.instance],
        "hierarchy": graph,
        "fingerprint": hashlib.sha256(run.encode()).hexdigest()[:32],
        "params": {"vigilance": 0.5, "name": "é", "list": [1, 2]},
        "vigilance": 0.75,
        "features_uri": "features",
        "prototypes_uri": "prototypes",
        "created_ms": 1_700_000_000_000,
    }
    return Publication(**(parts | changes))


def fit(n: int) -> dict[str, Any]:
    """Values for all columns of IN_PATTERN of n added images."""
    kind = next(edge for edge in SCHEMA.edges if edge.name == "IN_PATTERN")
    values = {"FLOAT": np.linspace(0, 1, n, dtype=np.float32), "DOUBLE": np.linspace(0, 1, n), "BOOL": [True] * n,
              "STRING": [""] * n}  # fmt: skip
    return {column.name: values[column.kind] for column in kind.columns}


def totals(store: GraphStore, timeout_s: float = TIMEOUT_S) -> dict[str, int]:
    """The number of nodes and edges of each kind."""
    return {kind: store.query(text, timeout_s=timeout_s)["n"][0].as_py() for kind, text in SCHEMA.counting()}


def ask(store: GraphStore, name: str, limit: int = 10_000, **params: Any) -> list[dict[str, Any]]:
    query = named_query(name)
    table = store.query(query, params, limit=limit)
    assert tuple(table.column_names) == query.columns
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
