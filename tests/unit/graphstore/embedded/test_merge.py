"""Runs of one data set side by side."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from csrms_dist.errors import DataError
from graphstore.embedded.merge import merged
from graphstore.rows import Rows, write_rows
from graphstore.schema import SCHEMA
from tests.unit.graphstore.making import publication, whole, with_rows


def stored(folder: Path, tables: dict[str, pa.Table]) -> dict[str, Path]:
    folder.mkdir()
    for name, table in tables.items():
        write_rows(Rows.of(table), folder / f"{name}.parquet")
    return {name: folder / f"{name}.parquet" for name in tables}


def read(files: dict[str, list[Path]]) -> dict[str, pa.Table]:
    return {name: pa.concat_tables([pq.read_table(file) for file in some]) for name, some in files.items() if some}


@pytest.mark.parametrize("other_rows", [False, True])
def test_runs_of_one_dataset_share_its_rows(tmp_path: Path, other_rows: bool) -> None:
    new, old = (stored(tmp_path / f, whole(publication(f, uris=[f] * 4))) for f in "ba")
    if other_rows:  # the same ones in another order
        for name in ("Instance", "Instance.HAS_LABEL.Class"):
            write_rows(Rows.of(pq.read_table(old[name]).take([3, 0, 1, 2])), old[name])
    (tmp_path / "made").mkdir()
    files = merged([new, old], [], SCHEMA, "live", tmp_path / "made")
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
        merged([new, old], [], SCHEMA, "live", tmp_path)
