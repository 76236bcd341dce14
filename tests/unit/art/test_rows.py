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
        ({"vector": [[1.0], [1.0, 2.0]]}, "row 1 of column vector: got 2 numbers, expected 1"),
        ({"vector": [[1.0], None]}, "row 1 of column vector: got nothing"),
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


def folder_of(path: Path, **files) -> Path:
    path.mkdir()
    for name, array in files.items():
        pq.write_table(pa.table({"vector": array}), path / f"{name}.parquet", row_group_size=2)
    return path


WHOLE = pa.array([[1, 2], [3, 4], [5, 6]])


@pytest.mark.parametrize(
    ("second", "what"),
    [
        (
            pa.array([[0.9, 0.8]]),
            "b.parquet: column vector: got lists of double, expected lists of int64, as in a.parq",
        ),
        (
            pa.array([[1, 2]], pa.list_(pa.uint8())),
            "b.parquet: column vector: got lists of uint8, expected lists of int64",
        ),
        (pa.array([["x", "y"]]), "b.parquet: column vector: got lists of string, expected lists of numbers"),
        (pa.array([[True, False]]), "b.parquet: column vector: got lists of bool, expected lists of numbers"),
    ],
)
def test_a_folder_of_several_types_is_refused_before_it_is_read(tmp_path, second, what):
    with pytest.raises(DataError, match=what):
        open_rows(folder_of(tmp_path / "f", a=WHOLE, b=second))


@pytest.mark.parametrize(
    ("second", "what"),
    [
        ([[1, 2], [3, 4], [5, None]], "b.parquet: row 2 of column vector: got no number in place 1"),
        ([[1, 2], [None, 4], [5, 6]], "b.parquet: row 1 of column vector: got no number in place 0"),
        ([[1, 2], [3, 4], None], "b.parquet: row 2 of column vector: got nothing"),
        ([[1, 2], [3], [5, 6]], "b.parquet: row 1 of column vector: got 1 numbers, expected 2, as in .* a.parquet"),
        ([[1, 2, 3]] * 3, "b.parquet: row 0 of column vector: got 3 numbers, expected 2"),
        ([[1]] * 3, "b.parquet: row 0 of column vector: got 1 numbers, expected 2"),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path, second, what):
    rows = open_rows(folder_of(tmp_path / "f", a=WHOLE, b=pa.array(second, pa.list_(pa.int64()))))
    assert rows[0:3].tolist() == WHOLE.to_pylist()
    for places in (slice(2, 6), np.array([0, 3, 4, 5])):
        with pytest.raises(DataError, match=what):
            rows[places]


def test_fixed_and_variable_lists_and_files_without_rows_go_together(tmp_path):
    fixed, empty = WHOLE.cast(pa.list_(pa.int64(), 2)), pa.array([], pa.list_(pa.null()))
    rows = open_rows(folder_of(tmp_path / "f", a=empty, b=WHOLE, c=fixed, d=WHOLE.cast(pa.large_list(pa.int64()))))
    assert rows.dtype == np.int64
    assert rows[0:9].tolist() == WHOLE.to_pylist() * 3


def test_what_can_be_read_is_said(tmp_path):
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "a.csv").write_text("1,2")
    np.savez(tmp_path / "a.npz", MATRIX)
    readable = "a .npy file, a Parquet file with a column 'vector', or a folder"
    for name in ("a.csv", "a.npz", "nowhere", "."):
        with pytest.raises(DataError, match=readable):
            open_rows(tmp_path / name)
    with pytest.raises(DataError, match=r"empty\.npy"):
        open_rows(tmp_path / "empty.npy")
