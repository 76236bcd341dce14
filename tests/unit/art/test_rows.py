"""Rows on disk: Parquet and .npy give the same matrix, by any range, in pieces; what is no matrix is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csrms_dist.art import rows as rows_module
from csrms_dist.art.rows import open_rows
from csrms_dist.errors import DataError

MATRIX = np.random.default_rng(0).integers(0, 256, (57, 5)).astype(np.uint8)


def write(path: Path, matrix, group: int = 10) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1])
    pq.write_table(pa.table({"id": list(range(len(matrix))), "vector": vectors}), path, row_group_size=group)


@pytest.fixture
def small_reads(monkeypatch):
    monkeypatch.setattr(rows_module, "READ", 4)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same matrix as .npy, as one Parquet file, and as a folder of three."""
    folder = tmp_path_factory.mktemp("rows")
    np.save(folder / "rows.npy", MATRIX)
    write(folder / "rows.parquet", MATRIX)
    (folder / "parts").mkdir()
    for k, (start, stop) in enumerate([(0, 20), (20, 21), (21, 57)]):
        write(folder / "parts" / f"{k}.parquet", MATRIX[start:stop], 7)
    return folder


@pytest.mark.parametrize("name", ["rows.npy", "rows.parquet", "parts"])
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 57), st.integers(0, 57), st.lists(st.integers(0, 56), max_size=20))
def test_ranges_and_rows_are_those_of_the_matrix(files, small_reads, name, start, stop, chosen):
    rows = open_rows(files / name)
    assert rows.shape == (57, 5)
    assert rows.dtype == np.uint8
    assert len(rows) == 57
    assert np.array_equal(rows[start:stop], MATRIX[start:stop])
    assert np.array_equal(rows[np.array(chosen, np.int64)], MATRIX[chosen].reshape(-1, 5))


def test_lists_of_floats_are_read_too(tmp_path):
    pq.write_table(pa.table({"vector": [[0.5, 1.0], [2.0, 3.0]]}), tmp_path / "a.parquet")
    rows = open_rows(tmp_path / "a.parquet")
    assert rows.dtype == np.float64
    assert rows[0:2].tolist() == [[0.5, 1.0], [2.0, 3.0]]


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"vec": [[1.0]]}, "expected a column 'vector'"),
        ({"vector": [1.0]}, "lists of numbers"),
        ({"vector": [[1.0], [1.0, 2.0]]}, "different lengths"),
        ({"vector": [[1.0], None]}, "different lengths"),
    ],
)
def test_other_tables_are_refused(tmp_path, columns, what):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=what):
        open_rows(tmp_path / "a.parquet")[0:2]


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"no array")
    (tmp_path / "a.parquet").write_bytes(b"no table")
    for name, what in (("a.npy", "a.npy"), ("a.parquet", "a Parquet file"), ("b.npy", "no file of rows")):
        with pytest.raises(DataError, match=what):
            open_rows(tmp_path / name)
    with pytest.raises(DataError, match="no file of rows"):
        open_rows(tmp_path / "nothing")
