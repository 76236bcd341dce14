"""The node and edge types of schema version 2, as they were: what older graphs hold."""

from __future__ import annotations

from graphstore.schema import Column, EdgeType, NodeType, Schema


def _columns(text: str) -> tuple[Column, ...]:
    return tuple(Column(*part.split()) for part in text.split(","))


VERSION_2 = Schema(
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
                "content STRING"
            ),
        ),
        NodeType(
            "Pattern", _columns("key STRING, run STRING, idx INT64, size INT64, dominated BOOL, top_share DOUBLE")
        ),
    ),
    edges=(
        EdgeType("OF_RUN", "Pattern", "Run"),
        EdgeType("OF_DATASET", "Run", "Dataset"),
        EdgeType("OF_DATASET", "Class", "Dataset"),
        EdgeType("HAS_LABEL", "Instance", "Class"),
        EdgeType("IN_PATTERN", "Instance", "Pattern", _columns("score FLOAT, difficulty FLOAT")),
        EdgeType("COVERS", "Pattern", "Class", _columns("n INT64, share DOUBLE, role STRING")),
        EdgeType("LOOKS_LIKE", "Class", "Class", _columns("run STRING, weight DOUBLE")),
    ),
    version=2,
)
