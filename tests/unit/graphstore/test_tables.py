"""A publication as rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from csrms_dist.errors import DataError
from graphstore.figures import Figures
from graphstore.schema import SCHEMA, SCHEMA_VERSION, Column, EdgeType, NodeType
from graphstore.tables import content_fingerprint, instance_keys, publication_tables
from tests.unit.graphstore.making import publication, whole


def test_the_rows_of_a_run() -> None:
    tables = whole(publication())
    of_runs = [kind for kind in SCHEMA.types if not SCHEMA.of_addition(kind)]
    assert list(tables) == [kind.table for kind in of_runs]
    assert all(tables[kind.table].schema.equals(kind.arrow()) for kind in of_runs)
    run = "d@00000000:aaaaaaaaaaaaaaaa"
    assert tables["Run"].to_pylist() == [
        {
            "key": run, "dataset": "d@00000000", "status": "ready", "created_ms": 3, "params_json": '{"a":2,"b":1}',
            "vigilance": 1.0, "dominance_threshold": 0.6, "features_uri": "f", "prototypes_uri": "p", "n_patterns": 2,
            "content": content_fingerprint(publication()), "schema_version": SCHEMA_VERSION,
        }
    ]  # fmt: skip
    assert tables["Pattern.COVERS.Class"].to_pylist() == [
        {"from": f"{run}#0", "to": "d@00000000#0", "n": 2, "share": 1.0, "role": "dominates"},
        {"from": f"{run}#1", "to": "d@00000000#0", "n": 1, "share": 0.5, "role": "none"},
        {"from": f"{run}#1", "to": "d@00000000#1", "n": 1, "share": 0.5, "role": "fallback"},
    ]
    assert tables["Instance.IN_PATTERN.Pattern"].to_pylist()[3] == {
        "from": "d@00000000/000000000007", "to": f"{run}#1", "score": 0.25, "difficulty": 0.5, "distance": 0.0,
        "outlier": False, "support": 0.0, "doubted": "", "suggested": "", "suggested_share": 0.0,
    }  # fmt: skip
    assert tables["Class.LOOKS_LIKE.Class"]["weight"].to_pylist() == pytest.approx([1 / 6, 0.5])


def test_instance_keys_have_twelve_digits() -> None:
    assert instance_keys("d/#", np.array([0, 10**12 - 1])).to_pylist() == ["d/#/000000000000", "d/#/999999999999"]


def test_the_content_is_the_graph_and_its_names_alone() -> None:
    same = content_fingerprint(publication())
    assert content_fingerprint(publication(created_ms=9, params={}, uris=list("abcd"), features_uri="moved")) == same
    assert content_fingerprint(publication(ids=list("abcd"))) != same
    assert content_fingerprint(publication(class_names=["dog", "cat"])) != same


def test_a_sister_method_extends_the_table() -> None:
    schema = SCHEMA.extended(
        nodes=(NodeType("Tag", (Column("key", "STRING"),)),), edges=(EdgeType("TAGGED", "Instance", "Tag"),)
    )
    extra = {
        "Tag": pa.table({"key": ["sunny"]}),
        "Instance.TAGGED.Tag": pa.table({"from": ["d@00000000/000000000001"], "to": ["sunny"]}),
    }
    assert publication_tables(publication(extra=extra), schema)["Tag"].n == 1
    assert publication_tables(publication(), schema)["Tag"].n == 0
    with pytest.raises(DataError, match="names of tables"):
        publication_tables(publication(extra=extra), SCHEMA)


def test_figures_name_classes_and_are_checked() -> None:
    parts = vars(Figures.none(4)) | {"doubted": np.array([0, 0, 1, -1]), "distance": np.float32([0, 0.5, 1, 2])}
    rows = whole(publication(figures=Figures(**parts)))["Instance.IN_PATTERN.Pattern"]
    assert rows["doubted"].to_pylist() == ["cat", "cat", "dog", ""]
    assert rows["suggested"].to_pylist() == [""] * 4
    assert rows["distance"].to_pylist() == [0, 0.5, 1, 2]
    for name, values, words in (
        ("distance", np.zeros(3, np.float32), "figures.distance: got 3 values, expected 4"),
        ("support", np.float32([0, np.nan, 0, 0]), "figures.support: got 4 values, expected 4 finite ones"),
        ("suggested", np.array([0, 1, 2, 0]), "figures.suggested: got a class that is not there, expected -1 to 1"),
        ("doubted", np.array([0, 1, -2, 0]), "figures.doubted: got a class that is not there"),
    ):
        with pytest.raises(DataError, match=words):
            whole(publication(figures=Figures(**(parts | {name: values}))))
