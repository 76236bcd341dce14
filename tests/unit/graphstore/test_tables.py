from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from csrms_dist.artefacts.fingerprints import fingerprint
from csrms_dist.errors import DataError
from csrms_dist.hierarchy.pattern_counts import build_hierarchy
from csrms_dist.hierarchy.snapshot import fingerprint_of
from graphstore import tables as module
from graphstore.schema import KINDS, SCHEMA, Column, EdgeType, NodeType
from graphstore.store import Publication, Repeated
from graphstore.tables import (
    Rows,
    check_tables,
    content_fingerprint,
    instance_keys,
    merged,
    publication_tables,
    write_rows,
)


def publication(fingerprint: str = "a", **changes: Any) -> Publication:
    graph = build_hierarchy(
        [0, 0, 1, 1], [0.5, 1, 0, 0.25], sparse.csr_array(np.eye(2, dtype=np.uint8)[[0, 0, 0, 1]]), [1, 2, 5, 7],
        dominance_threshold=0.6, n_positives=1, multi_label=False,
    )  # fmt: skip
    parts: dict[str, Any] = {
        "dataset": "d", "content_hash": "0" * 8, "class_names": ["cat", "dog"], "ids": list("wxyz"),
        "split": ["train"] * 4, "uris": [""] * 4, "hierarchy": graph, "fingerprint": fingerprint * 16,
        "params": {"b": 1, "a": 2}, "vigilance": 1, "features_uri": "f", "prototypes_uri": "p", "created_ms": 3,
    }  # fmt: skip
    return Publication(**(parts | changes))


def whole(given: Publication) -> dict[str, pa.Table]:
    return {name: rows.table() for name, rows in publication_tables(given, SCHEMA).items()}


def test_the_rows_of_a_run() -> None:
    tables = whole(publication())
    assert list(tables) == [kind.table for kind in SCHEMA.types]
    assert all(tables[kind.table].schema.equals(kind.arrow()) for kind in SCHEMA.types)
    run = "d@00000000:aaaaaaaaaaaaaaaa"
    assert tables["Run"].to_pylist() == [
        {
            "key": run, "dataset": "d@00000000", "status": "ready", "created_ms": 3, "params_json": '{"a":2,"b":1}',
            "vigilance": 1.0, "dominance_threshold": 0.6, "features_uri": "f", "prototypes_uri": "p", "n_patterns": 2,
            "content": content_fingerprint(publication()),
        }
    ]  # fmt: skip
    assert tables["Pattern.COVERS.Class"].to_pylist() == [
        {"from": f"{run}#0", "to": "d@00000000#0", "n": 2, "share": 1.0, "role": "dominates"},
        {"from": f"{run}#1", "to": "d@00000000#0", "n": 1, "share": 0.5, "role": "none"},
        {"from": f"{run}#1", "to": "d@00000000#1", "n": 1, "share": 0.5, "role": "fallback"},
    ]
    assert tables["Instance.IN_PATTERN.Pattern"].to_pylist()[3] == {
        "from": "d@00000000/000000000007", "to": f"{run}#1", "score": 0.25, "difficulty": 0.5,
    }  # fmt: skip
    assert tables["Class.LOOKS_LIKE.Class"]["weight"].to_pylist() == pytest.approx([1 / 6, 0.5])


def test_instance_keys_have_twelve_digits() -> None:
    assert instance_keys("d/#", np.array([0, 10**12 - 1])).to_pylist() == ["d/#/000000000000", "d/#/999999999999"]


def test_the_content_is_the_graph_and_its_names_alone() -> None:
    same = content_fingerprint(publication())
    assert content_fingerprint(publication(created_ms=9, params={}, uris=list("abcd"), features_uri="moved")) == same
    assert content_fingerprint(publication(ids=list("abcd"))) != same
    assert content_fingerprint(publication(class_names=["dog", "cat"])) != same


def with_rows(table: str, **changes: Any) -> dict[str, pa.Table]:
    tables = whole(publication())
    rows = tables[table].to_pylist()
    rows[0].update(changes)
    return tables | {table: pa.Table.from_pylist(rows, schema=tables[table].schema)}


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (with_rows("Class", key="d@00000000#1"), "Class: got 1 rows too many"),
        (with_rows("Class", name=None), "Class.name: got a null"),
        (with_rows("Instance.HAS_LABEL.Class", to="nowhere"), "HAS_LABEL.Class.to: got 'nowhere'"),
        (with_rows("Pattern.OF_RUN.Run", **{"from": "nowhere"}), "OF_RUN.Run.from: got 'nowhere'"),
        (with_rows("Pattern.COVERS.Class", **{"from": "d@00000000:aaaaaaaaaaaaaaaa#1"}), "COVERS.Class: got 1 rows"),
        ({**with_rows("Class"), "Class": pa.table({"key": ["x"]})}, "columns of Class"),
    ],
)
def test_rows_that_a_bulk_load_would_choke_on_are_found(tables: dict[str, pa.Table], words: str) -> None:
    with pytest.raises(DataError, match=words):
        check_tables({name: Rows.of(table) for name, table in tables.items()}, SCHEMA, tables)


def stored(folder: Path, tables: dict[str, pa.Table]) -> Path:
    folder.mkdir()
    for name, table in tables.items():
        write_rows(Rows.of(table), folder / f"{name}.parquet")
    return folder


def read(files: dict[str, list[Path]]) -> dict[str, pa.Table]:
    return {name: pa.concat_tables([pq.read_table(file) for file in some]) for name, some in files.items()}


@pytest.mark.parametrize("other_rows", [False, True])
def test_runs_of_one_dataset_share_its_rows(tmp_path: Path, other_rows: bool) -> None:
    new, old = (stored(tmp_path / f, whole(publication(f, uris=[f] * 4))) for f in "ba")
    if other_rows:  # the same ones in another order
        for name in ("Instance", "Instance.HAS_LABEL.Class"):
            table = pq.read_table(old / f"{name}.parquet")
            write_rows(Rows.of(table.take([3, 0, 1, 2])), old / f"{name}.parquet")
    (tmp_path / "made").mkdir()
    files = merged([new, old], SCHEMA, "live", tmp_path / "made")
    both = read(files)
    assert {name: table.num_rows for name, table in both.items()} == {
        "Dataset": 1, "Class": 2, "Instance": 4, "Run": 2, "Pattern": 4, "Pattern.OF_RUN.Run": 4,
        "Run.OF_DATASET.Dataset": 2, "Class.OF_DATASET.Dataset": 2, "Instance.HAS_LABEL.Class": 4,
        "Instance.IN_PATTERN.Pattern": 8, "Pattern.COVERS.Class": 6, "Class.LOOKS_LIKE.Class": 4,
    }  # fmt: skip
    assert both["Dataset"]["live_run"].to_pylist() == ["live"]
    assert both["Dataset"]["n_instances"].to_pylist() == [4]
    assert both["Instance"]["uri"].to_pylist() == ["b"] * 4
    made = {"Dataset", "Class.LOOKS_LIKE.Class"} | ({"Instance", "Instance.HAS_LABEL.Class"} if other_rows else set())
    assert {path.stem for path in (tmp_path / "made").iterdir()} == made


def test_runs_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    new = stored(tmp_path / "new", whole(publication("b", class_names=["cat", "cow"])))
    old = stored(tmp_path / "old", with_rows("Class"))
    with pytest.raises(DataError, match="Class: got 1 rows too many"):
        merged([new, old], SCHEMA, "live", tmp_path)


@pytest.mark.parametrize("block", [1, 3, 4])
def test_blocks_change_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given = publication(ids=pa.chunked_array([["w"], ["x", "y\n"], ["z"]]), split=Repeated("train", 4))
    at_once, content = whole(given), content_fingerprint(given)
    monkeypatch.setattr(module, "BLOCK", block)
    for name, rows in publication_tables(given, SCHEMA).items():
        assert pa.concat_tables(list(rows.blocks())).equals(at_once[name])
        assert all(part.num_rows <= block for part in rows.blocks())
    assert content_fingerprint(given) == content
    names = [given.dataset_key, ["cat", "dog"], ["w", "x", "y\n", "z"], ["train"] * 4]
    assert content == fingerprint(names, fingerprint_of(given.hierarchy))


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


def test_the_schema_is_consistent() -> None:
    labels = {t.label for t in SCHEMA.nodes}
    assert all({t.source, t.target} <= labels for t in SCHEMA.edges)
    assert all(column.kind in KINDS for t in SCHEMA.types for column in t.columns)
    assert SCHEMA.ddl()[0].endswith("PRIMARY KEY(key))")
    assert "CREATE REL TABLE OF_DATASET(FROM Run TO Dataset, FROM Class TO Dataset)" in SCHEMA.ddl()
    assert "CREATE REL TABLE IN_PATTERN(FROM Instance TO Pattern, score FLOAT, difficulty FLOAT)" in SCHEMA.ddl()


def test_a_repeated_text_is_a_sequence_in_no_memory() -> None:
    some = Repeated("train", 10**9)
    assert len(some) == 10**9
    assert some[5] == some[-1] == "train"
    assert list(some[3:6]) == ["train"] * 3
    with pytest.raises(IndexError):
        some[10**9]
