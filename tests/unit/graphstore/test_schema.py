"""The table of types."""

from __future__ import annotations

from graphstore.schema import KINDS, SCHEMA


def test_the_schema_is_consistent() -> None:
    labels = {t.label for t in SCHEMA.nodes}
    assert all({t.source, t.target} <= labels for t in SCHEMA.edges)
    assert all(column.kind in KINDS for t in SCHEMA.types for column in t.columns)
    assert SCHEMA.ddl()[0].endswith("PRIMARY KEY(key))")
    assert "CREATE REL TABLE OF_DATASET(FROM Run TO Dataset, FROM Class TO Dataset)" in SCHEMA.ddl()
    in_pattern = (
        "score FLOAT, difficulty FLOAT, distance FLOAT, outlier BOOL, support FLOAT, doubted STRING, suggested STRING, "
        "suggested_share FLOAT"
    )
    assert f"CREATE REL TABLE IN_PATTERN(FROM Instance TO Pattern, {in_pattern})" in SCHEMA.ddl()
