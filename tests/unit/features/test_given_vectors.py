"""A user's Parquet of vectors is read whole, or refused by the name of the row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from csrms_dist.errors import ConfigError, DataError
from csrms_dist.features import given_vectors
from csrms_dist.features.feature_table import FeatureTable
from csrms_dist.features.given_vectors import VectorFacts, read_vectors, vector_facts
from csrms_dist.features.settings import FeaturesSettings
from csrms_dist.labels import LabelSpace, label_lists, single_labels
from tests.unit.features.comparing import assert_equal

IDS = ["a", "b", "c"]
VECTORS = [[1.0, 2.0], [3.0, -4.0], [0.5, 0.25]]
F32_LIST = pa.list_(pa.float32())


def parquet(folder: Path, metadata: dict[str, str] | None = None, **columns: Any) -> Path:
    """A Parquet file of id, vector and whatever else; None leaves a column out."""
    given_columns = {"id": pa.array(IDS), "vector": pa.array(VECTORS, F32_LIST), **columns}
    table = pa.table({name: column for name, column in given_columns.items() if column is not None})
    pq.write_table(table.replace_schema_metadata(metadata), folder / "vectors.parquet")
    return folder / "vectors.parquet"


@pytest.mark.parametrize("wrap", [pa.list_, pa.large_list, lambda kind: pa.list_(kind, 2)])
@pytest.mark.parametrize(
    "kind", [pa.float16(), pa.float32(), pa.float64(), pa.int8(), pa.uint8(), pa.int32(), pa.int64()]
)
def test_lists_of_every_kind_of_number_are_vectors(tmp_path: Path, wrap: Any, kind: Any) -> None:
    values = [[1, 2], [3, 4], [0, 5]]
    plain = [[np.float16(x) for x in row] for row in values] if kind == pa.float16() else values
    table = read_vectors(parquet(tmp_path, vector=pa.array(plain, wrap(kind))))
    assert table.vectors.dtype == np.float32
    assert table.vectors.flags.c_contiguous
    assert table.vectors.flags.writeable
    assert table.vectors.tolist() == values
    assert table.instance.tolist() == [0, 1, 2]
    assert table.part.tolist() == [0, 0, 0]
    assert table.id_list() == IDS
    assert table.membership is None
    assert table.label_space is None


def test_whole_numbers_beyond_float32_are_rounded(tmp_path: Path) -> None:
    table = read_vectors(parquet(tmp_path, vector=pa.array([[2**24 + 1], [2**62], [-3]], pa.list_(pa.int64()))))
    assert table.vectors[:, 0].tolist() == [2.0**24, 2.0**62, -3.0]


def test_several_row_groups_and_chunks_are_one_table(tmp_path: Path) -> None:
    rows = [[float(i), -float(i)] for i in range(1000)]
    columns = {"id": pa.array([f"{i}" for i in range(1000)]), "vector": pa.array(rows, F32_LIST)}
    pq.write_table(pa.table(columns), tmp_path / "many.parquet", row_group_size=7)
    assert read_vectors(str(tmp_path / "many.parquet")).vectors.tolist() == rows


def test_whole_numbers_are_ids_too(tmp_path: Path) -> None:
    assert read_vectors(parquet(tmp_path, id=pa.array([10, 7, 8]))).id_list() == ["10", "7", "8"]


def test_a_folder_called_like_a_column_adds_none(tmp_path: Path) -> None:
    (tmp_path / "label=5").mkdir()
    assert read_vectors(parquet(tmp_path / "label=5")).membership is None


def test_single_labels_are_read(tmp_path: Path) -> None:
    table = read_vectors(parquet(tmp_path, label=pa.array([2, 0, 2], pa.uint8())))
    assert table.label_space == LabelSpace(("0", "1", "2"))
    assert single_labels(table.membership).tolist() == [2, 0, 2]


def test_class_names_beside_the_label(tmp_path: Path) -> None:
    names = pa.array(["élan", "cat", None])
    table = read_vectors(parquet(tmp_path, label=pa.array([2, 0, 2]), class_name=names))
    assert table.label_space == LabelSpace(("cat", "1", "élan"))


def test_class_names_in_the_metadata_know_classes_without_rows(tmp_path: Path) -> None:
    metadata = {"label_space": json.dumps({"class_names": ["x", "y", "z", "empty"]})}
    table = read_vectors(parquet(tmp_path, metadata, label=pa.array([2, 0, 2])))
    assert table.label_space == LabelSpace(("x", "y", "z", "empty"))
    assert table.membership is not None
    assert table.membership.shape == (3, 4)
    with pytest.raises(DataError, match=r"label of 'b': got 4, expected a class index in 0\.\.3"):
        read_vectors(parquet(tmp_path, metadata, label=pa.array([2, 4, 2])))


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.large_list(pa.int16())])
def test_several_labels_win_over_one(tmp_path: Path, kind: Any) -> None:
    table = read_vectors(parquet(tmp_path, label=pa.array([0, 0, 0]), labels=pa.array([[1, 3], [], [3, 3]], kind)))
    assert table.label_space == LabelSpace(("0", "1", "2", "3"), multi_label=True)
    assert label_lists(table.membership) == [[1, 3], [], [3]]


@pytest.mark.parametrize(
    ("columns", "split", "labels"),
    [
        ({"label": pa.array([1, None, -1])}, ["train", "unlabelled", "unlabelled"], [[1], [], []]),
        ({"labels": pa.array([[0, 1], None, []])}, ["train", "unlabelled", "train"], [[0, 1], [], []]),
        (
            {"label": pa.array([1, None, 0]), "split": pa.array(["train", "test", "val"])},
            ["train", "unlabelled", "val"],
            [[1], [], [0]],
        ),
        ({"label": pa.array([None, -1, None])}, ["train"] * 3, [[], [], []]),
        ({"label": pa.array([None, None, None])}, ["train"] * 3, [[], [], []]),
        ({"labels": pa.array([None, None, None], pa.list_(pa.int64()))}, ["train"] * 3, [[], [], []]),
        ({"split": pa.array(["train", "unlabelled", "test"])}, ["train", "train", "test"], [[], [], []]),
    ],
)
def test_rows_have_a_split_and_those_without_a_label_are_unlabelled(
    tmp_path: Path, columns: dict[str, Any], split: list[str], labels: list[list[int]]
) -> None:
    table = read_vectors(parquet(tmp_path, **columns))
    assert table.split_names.to_pylist() == split
    assert label_lists(table.labels) == labels
    assert table.classes.n_classes == (1 + max(k for row in labels for k in row) if any(labels) else 0)


def test_rows_of_other_splits_are_written_beside_those_of_training(tmp_path: Path) -> None:
    split = pa.array(["train", "test", "train"])
    path = parquet(tmp_path, label=pa.array([1, 0, None]), split=split)
    for name in ("alone", "streamed", "whole"):
        (tmp_path / name).mkdir()
    assert read_vectors(path, tmp_path / "streamed").save_divided(tmp_path / "streamed") == 2
    assert read_vectors(path).save_divided(tmp_path / "whole") == 2
    train, others = (FeatureTable.load(tmp_path / "streamed" / part) for part in (".", "held_out"))
    assert (train.instance.tolist(), train.id_list(), train.split) == ([0], ["a"], None)
    assert (others.instance.tolist(), others.id_list()) == ([1, 2], ["b", "c"])
    assert others.split_names.to_pylist() == ["test", "unlabelled"]
    assert (train.vectors.tolist(), others.vectors.tolist()) == (VECTORS[:1], VECTORS[1:])
    assert (label_lists(train.labels), label_lists(others.labels)) == ([[1]], [[0], []])
    only = {"id": pa.array(IDS[:1]), "vector": pa.array(VECTORS[:1], F32_LIST), "label": pa.array([1])}
    assert read_vectors(parquet(tmp_path, **only)).save_divided(tmp_path / "alone") == 0
    for name in ("rows.arrow", "vectors.npy"):
        files = [(tmp_path / folder / name).read_bytes() for folder in ("alone", "streamed", "whole")]
        assert files[0] == files[1] == files[2]
    assert sorted(file.name for file in (tmp_path / "alone").iterdir()) == ["rows.arrow", "vectors.npy"]
    assert sorted(file.name for file in (tmp_path / "streamed").iterdir()) == ["held_out", "rows.arrow", "vectors.npy"]


def test_what_was_read_can_be_saved(tmp_path: Path) -> None:
    table = read_vectors(parquet(tmp_path, labels=pa.array([[1], [], [0]], pa.list_(pa.int64()))))
    table.save(tmp_path)
    assert_equal(table, FeatureTable.load(tmp_path))


@pytest.mark.parametrize("rows", [1, 7, 4096])
@pytest.mark.parametrize("labels", [None, "label", "labels"])
def test_reading_into_a_folder_keeps_the_vectors_on_disk(
    tmp_path: Path, rows: int, labels: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 100
    columns: dict[str, Any] = {
        "id": pa.array([f"é/{i}" if i % 3 else "" + "x" * i for i in range(n)]),
        "vector": pa.array([[i / 7, -float(i)] for i in range(n)], F32_LIST),
    }
    if labels:
        columns["class_name"] = pa.array([f"n{i % 5}" for i in range(n)])
        columns[labels] = pa.array([i % 5 if labels == "label" else [i % 5, *range(i % 3)] for i in range(n)])
    path = parquet(tmp_path, **columns)
    at_once = read_vectors(path)
    monkeypatch.setattr(given_vectors, "_ROWS", rows)
    assert_equal(read_vectors(path), at_once)
    for name in ("streamed", "whole"):
        (tmp_path / name).mkdir()
    streamed = read_vectors(path, tmp_path / "streamed")
    assert isinstance(streamed.vectors, np.memmap)
    assert_equal(streamed, at_once)
    streamed.save(tmp_path / "streamed")
    at_once.save(tmp_path / "whole")
    assert sorted(file.name for file in (tmp_path / "streamed").iterdir()) == ["rows.arrow", "vectors.npy"]
    for name in ("rows.arrow", "vectors.npy"):
        assert (tmp_path / "streamed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert_equal(FeatureTable.load(tmp_path / "streamed"), at_once)


def test_a_refused_file_leaves_no_ids_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="'a' 2 times"):
        read_vectors(parquet(tmp_path, id=pa.array(["a", "b", "a"])), tmp_path / "folder")
    assert list((tmp_path / "folder").iterdir()) == []


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": None}, "expected a column 'id'; rename it"),
        ({"vector": None}, "got the columns id, expected a column 'vector'; rename it"),
        ({"id": pa.array(["a", None, "c"])}, "no id in row 1"),
        ({"id": pa.array(["a", "b", "a"])}, "the id 'a' 2 times, expected every id once"),
        ({"id": pa.array([["a"], ["b"], ["c"]])}, "column id: got list"),
        (
            {"id": pa.array([b"\xff", b"b", b"c"])},
            "column id: got bytes that are no UTF-8 in row 0, expected text",
        ),
        ({"vector": pa.array([1.0, 2.0, 3.0])}, "column vector: got double, expected lists of numbers"),
        ({"vector": pa.array([["1"], ["2"], ["3"]])}, "column vector: got list<.*string>, expected lists of numbers"),
        ({"vector": pa.array([[True], [False], [True]])}, "column vector: got list<.*bool>"),
        (
            {"vector": pa.array([[1.0], None, [2.0]], F32_LIST)},
            "vector of 'b': got nothing, expected a list of numbers",
        ),
        ({"vector": pa.array([[1.0, 2], None, [3, 4]], pa.list_(pa.float32(), 2))}, "vector of 'b': got nothing"),
        ({"vector": pa.array([[1.0, 2], [3.0, 4], [5.0]], F32_LIST)}, "vector of 'c': got 1 numbers, expected 2 as in"),
        ({"vector": pa.array([[], [], []], F32_LIST)}, "vector of 'a': got 0 numbers, expected at least one;"),
        ({"vector": pa.array([[], [1.0], [2.0]], F32_LIST)}, "vector of 'a': got 0 numbers, expected at least one;"),
        ({"vector": pa.array([[1.0], [NAN], [NAN]], F32_LIST)}, r"vector of 'b': got nan, .*\(2 such rows\)"),
        ({"vector": pa.array([[1.0], [2], [-INF]], F32_LIST)}, r"vector of 'c': got -inf, .*\(1 such rows\)"),
        ({"vector": pa.array([[1.0], [None], [2]], F32_LIST)}, "vector of 'b': got nan"),
        ({"vector": pa.array([[1], [None], [2]], pa.list_(pa.int64()))}, "vector of 'b': got nan"),
        ({"vector": pa.array([[1.0], [2], [1e300]])}, "vector of 'c': got inf, expected finite float32 numbers"),
        ({"label": pa.array([0, 1, -2])}, r"label of 'c': got -2, expected a class index in 0\.\."),
        ({"label": pa.array([0, 1, 2**40])}, rf"label of 'c': got {2**40}, expected a class index in 0\.\."),
        ({"label": pa.array([0.0, 1.5, 2.0])}, "column label: got 1.5 among double, expected class indices"),
        ({"label": pa.array([0.0, NAN, INF])}, "column label: got inf among double"),
        ({"label": pa.array([True, False, True])}, "column label: got bool"),
        ({"label": pa.array([[0], [1], [2]])}, "column label: got list"),
        ({"labels": pa.array([0, 1, 2])}, "column labels: got int64, expected lists of class indices"),
        ({"labels": pa.array([[0], [1, None], [1]])}, "labels of 'b': got nothing in the list"),
        ({"labels": pa.array([[0], [1, -2], [1]])}, r"label of 'b': got -2"),
        ({"labels": pa.array([[], [], []], pa.list_(pa.int64()))}, "column labels: got no label at all"),
        (
            {"split": pa.array(["train", "holdout", "test"])},
            "split of 'b': got 'holdout', expected one of train, val, ",
        ),
        ({"split": pa.array(["train", None, "test"])}, "split of 'b': got nothing, expected one of train, val, test, "),
        ({"split": pa.array([0, 1, 2])}, "split of 'a': got '0', expected one of train, val, test, unlabelled"),
        ({"split": pa.array(["val", "test", "test"])}, "got no row of the split train"),
        (
            {"split": pa.array(["train", "unlabelled", "test"]), "label": pa.array([0, 1, 0])},
            "'b': got unlabelled, and",
        ),
        (
            {"label": pa.array([0, 1, 0]), "class_name": pa.array(["cat", "dog", "cow"])},
            "column class_name: got 'cat' and 'cow' for class 0, expected one name a class",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    path = parquet(tmp_path, **columns)
    with pytest.raises(DataError, match=message) as caught:
        read_vectors(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.parquet", tmp_path):
        with pytest.raises(DataError, match=r"features\.path: got .*which is not a file, expected a Parquet, .npy"):
            read_vectors(path)


@pytest.mark.parametrize("content", [b"", b"id,vector\n", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_a_file_that_is_no_parquet(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vectors.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"expected a Parquet, \.npy or \.npz file of vectors"):
        read_vectors(path)


def test_a_truncated_parquet(tmp_path: Path) -> None:
    path = parquet(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"expected a Parquet, \.npy or \.npz file of vectors"):
        read_vectors(path)


def test_a_parquet_without_rows(tmp_path: Path) -> None:
    path = parquet(tmp_path, id=pa.array([], pa.string()), vector=pa.array([], F32_LIST))
    with pytest.raises(DataError, match="got no rows, expected at least one row"):
        read_vectors(path)


@pytest.mark.parametrize(
    ("columns", "labels", "n_classes", "held_out"),
    [
        ({}, 0, None, 0),
        ({"label": pa.array([4, None, 0])}, 2, 5, 1),
        ({"label": pa.array([4, -1, 0]), "split": pa.array(["train", "train", "val"])}, 2, 5, 2),
        ({"label": pa.array([None, None, None])}, 0, None, 0),
        ({"labels": pa.array([[2], [], [0, 6]])}, 3, 7, 0),
        ({"labels": pa.array([[2], None, [0, 6]])}, 3, 7, 1),
        ({"label": pa.array(["cat", None, "cat"])}, 2, 1, 1),
        ({"labels": pa.array([[0, 1, 0, 0], [1, 1, 0, 0], None])}, 3, 4, 1),
    ],
)
def test_a_file_is_counted(
    tmp_path: Path, columns: dict[str, Any], labels: int, n_classes: int | None, held_out: int
) -> None:
    found = vector_facts(parquet(tmp_path, **columns))
    facts = {"rows": 3, "dimension": 2, "id_bytes": 1.0}
    assert found == VectorFacts(**facts, held_out=held_out, labels=labels, n_classes=n_classes)


def test_a_file_that_cannot_be_counted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"columns id, expected a column 'vector'; rename it or set features\.vector_column"
    ):
        vector_facts(parquet(tmp_path, vector=None))
    with pytest.raises(DataError, match="got no rows, expected at least one row"):
        vector_facts(parquet(tmp_path, id=pa.array([], pa.string()), vector=pa.array([], F32_LIST)))
    for path in (tmp_path, tmp_path / "none.parquet"):
        with pytest.raises(DataError, match=r"expected a Parquet, \.npy or \.npz file of vectors"):
            vector_facts(path)


# ------------------------------------------------------------------------------------------------- other files, names


DTYPES = ["<f2", "<f4", ">f4", "<f8", "|i1", "|u1", "<i4", ">i8"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_of_every_kind_of_number(tmp_path: Path, dtype: str, order: Any) -> None:
    values = np.array([[1, 2], [3, 4], [0, 5]]).astype(dtype, order=order)
    np.save(tmp_path / "v.npy", values)
    np.savez(tmp_path / "v.npz", vector=values)
    for path in (tmp_path / "v.npy", tmp_path / "v.npz"):
        table = read_vectors(path)
        assert table.vectors.dtype == np.float32
        assert table.vectors.tolist() == values.tolist()
        assert (table.id_list(), table.membership, table.split) == (["0", "1", "2"], None, None)
        assert vector_facts(path) == VectorFacts(3, 0, 2, 1.0, 0, None)


COLUMNS: dict[str, Any] = {
    "id": ["a", "b", "c"], "label": ["dog", "cat", "dog"], "split": ["train", "Validation", "train"],
}  # fmt: skip


def given_as(folder: Path, kind: str) -> tuple[Path, FeaturesSettings]:
    """The same rows in one of the ways to give them."""
    vectors = np.array(VECTORS, np.float32)
    if kind == "parquet":
        columns = {name: pa.array(values) for name, values in COLUMNS.items()}
        return parquet(folder, **columns), FeaturesSettings()
    if kind == "npz":
        np.savez(folder / "v.npz", vector=vectors, **{name: np.array(values) for name, values in COLUMNS.items()})
        return folder / "v.npz", FeaturesSettings()
    np.save(folder / "v.npy", vectors)
    if kind == "npy, npz":
        np.savez(folder / "rows.npz", **{name: np.array(values) for name, values in COLUMNS.items()})
    else:
        pq.write_table(pa.table(COLUMNS), folder / "rows.parquet")
    return folder / "v.npy", FeaturesSettings(rows_path=str(folder / f"rows.{kind.split()[1]}"))


@pytest.mark.parametrize("rows", [1, 2, 4096])
@pytest.mark.parametrize("kind", ["npz", "npy, npz", "npy, parquet"])
def test_every_way_to_give_the_same_rows(tmp_path: Path, kind: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parquet").mkdir()
    expected = read_vectors(given_as(tmp_path / "parquet", "parquet")[0])
    monkeypatch.setattr(given_vectors, "_ROWS", rows)
    path, settings = given_as(tmp_path, kind)
    assert_equal(read_vectors(path, None, settings), expected)
    (tmp_path / "folder").mkdir()
    streamed = read_vectors(path, tmp_path / "folder", settings)
    assert isinstance(streamed.vectors, np.memmap)
    assert_equal(streamed, expected)
    assert vector_facts(path, settings) == VectorFacts(3, 1, 2, 1.0, 3, 2)


def test_labels_as_names_vectors_of_0_and_1_and_hugging_face_s(tmp_path: Path) -> None:
    table = read_vectors(parquet(tmp_path, label=pa.array(["dog", None, "cat"]).dictionary_encode()))
    assert table.label_space == LabelSpace(("cat", "dog"))
    assert label_lists(table.labels) == [[1], [], [0]]
    assert table.split_names.to_pylist() == ["train", "unlabelled", "train"]
    table = read_vectors(parquet(tmp_path, labels=pa.array([["x", "y"], [], None])))
    assert table.label_space == LabelSpace(("x", "y"), multi_label=True)
    assert table.split_names.to_pylist() == ["train", "train", "unlabelled"]
    table = read_vectors(parquet(tmp_path, labels=pa.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], pa.list_(pa.uint8(), 3))))
    assert table.label_space == LabelSpace(("0", "1", "2"), multi_label=True)
    assert label_lists(table.labels) == [[0], [0, 1], []]
    names = {"huggingface": json.dumps({"info": {"features": {"label": {"names": ["cat", "dog", "emu"]}}}})}
    table = read_vectors(parquet(tmp_path, names, label=pa.array([1, 0, -1])))
    assert table.label_space == LabelSpace(("cat", "dog", "emu"))
    assert table.split_names.to_pylist() == ["train", "train", "unlabelled"]


def test_columns_by_other_names(tmp_path: Path) -> None:
    columns = {
        "id": None, "vector": None, "key": pa.array(IDS), "embedding": pa.array(VECTORS),
        "kind": pa.array([1, 0, 1]), "part": pa.array(["train", "test", "train"]), "tags": pa.array([[0, 1], [], [1]]),
    }  # fmt: skip
    path = parquet(tmp_path, **columns)
    names = {"id_column": "key", "vector_column": "embedding", "split_column": "part"}
    table = read_vectors(path, None, FeaturesSettings(**names, label_column="kind"))
    assert (table.id_list(), table.vectors.tolist()) == (IDS, VECTORS)
    assert single_labels(table.labels).tolist() == [1, 0, 1]
    assert table.split_names.to_pylist() == ["train", "test", "train"]
    table = read_vectors(path, None, FeaturesSettings(**names, label_column="tags"))
    assert table.label_space == LabelSpace(("0", "1"), multi_label=True)
    assert read_vectors(path, None, FeaturesSettings(**names)).membership is None
    named = parquet(tmp_path, label=pa.array([0, 1, 0]))
    assert read_vectors(named, None, FeaturesSettings(label_column="none")).membership is None
    for key in ("id", "vector", "label", "split"):
        with pytest.raises(DataError, match=rf"the columns .*, expected a column 'other'; .*features\.{key}_column"):
            read_vectors(named, None, FeaturesSettings(**{f"{key}_column": "other"}))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (
            np.zeros(3),
            r"v\.npy: vector: got an array of shape \(3,\), expected a matrix \(N, D\) of numbers, a vector a row",
        ),
        (np.zeros((3, 2, 2)), r"v\.npy: got float64 of shape \(3, 2, 2\), expected a matrix of numbers"),
        (np.zeros((3, 0)), r"v\.npy: got float64 of shape \(3, 0\), expected a matrix"),
        (np.zeros((0, 3)), r"v\.npy: got no rows"),
        (np.zeros((3, 2), bool), r"v\.npy: vector: got a matrix of bool, expected a matrix \(N, D\) of numbers"),
        (np.zeros((3, 2), complex), r"v\.npy: got complex128 of shape"),
        (np.array([["a"]]), r"v\.npy"),
        (np.array([[1.0, np.nan]]), r"v\.npy: vector of '0': got nan"),
        (np.array([[None]]), r"v\.npy: got a file that is no whole \.npy, expected a matrix of numbers; write it with"),
    ],
)
def test_an_array_that_is_no_table_of_vectors(tmp_path: Path, array: Any, said: str) -> None:
    np.save(tmp_path / "v.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=said):
        read_vectors(tmp_path / "v.npy")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00v\x00", b"what is this"])
@pytest.mark.parametrize("name", ["v.npy", "v.npz"])
def test_a_damaged_array(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"v\.np[yz]: got a file that is no whole \{name[1:]}"):
        read_vectors(tmp_path / name)
    with pytest.raises(DataError, match="no whole"):
        vector_facts(tmp_path / name)


def test_a_table_of_rows_that_does_not_fit(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((2, 3), np.float32))
    rows = parquet(tmp_path)
    with pytest.raises(DataError, match=r"vectors\.parquet: got a column 'vector', and a \.npy of vectors, expect"):
        read_vectors(tmp_path / "v.npy", None, FeaturesSettings(rows_path=str(rows)))
    rows = parquet(tmp_path, vector=None)
    with pytest.raises(DataError, match=r"vectors\.parquet: got 3 rows, expected 2 as in .*v\.npy; give both"):
        read_vectors(tmp_path / "v.npy", None, FeaturesSettings(rows_path=str(rows)))
    with pytest.raises(ConfigError, match=r"features\.rows_path: got .* expected a \.npy as features\.path; put ids"):
        read_vectors(rows, None, FeaturesSettings(rows_path=str(rows)))
    np.savez(tmp_path / "v.npz", vector=np.zeros((2, 3)), label=[0, 1, 2])
    with pytest.raises(DataError, match=r"v\.npz: got 2 rows of vector and 3 rows of label, expected arrays of as"):
        read_vectors(tmp_path / "v.npz")


def test_a_damaged_page_of_vectors(tmp_path: Path) -> None:
    path = parquet(tmp_path)
    facts = pq.ParquetFile(path).metadata.row_group(0).column(1)
    raw = bytearray(path.read_bytes())
    for place in range(facts.data_page_offset, facts.data_page_offset + 20):
        raw[place] ^= 0x5A
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"vectors\.parquet: column vector: got what cannot be read after 0 rows"):
        read_vectors(path)
