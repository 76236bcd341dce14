"""Parquet files yield the same images, labels and splits as plain loops over their rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from csrms_dist.basics.arrow import is_bytes, is_list
from csrms_dist.datasets.decoding import decode
from csrms_dist.datasets.image_source import SPLITS, UNLABELLED, Layout
from csrms_dist.datasets.splits import held_out
from csrms_dist.errors import DataError
from csrms_dist.labels import LabelSpace, label_lists
from tests.unit.datasets import making
from tests.unit.datasets.opening import layout, rows, same


@pytest.mark.parametrize("n_files", [1, 3])
@pytest.mark.parametrize("as_struct", [False, True])
def test_parquet_folder_in_several_files_and_row_groups(n_files: int, as_struct: bool) -> None:
    n = 600
    images = [making.png(seed % 11) for seed in range(n)]
    labels = [k % 3 for k in range(n)]
    Path("images").mkdir()
    stored = [{"bytes": data, "path": "x"} for data in images] if as_struct else images
    table = pa.table({"image": stored, "label": labels, "class_name": [f"kind {k}" for k in labels]})
    for part, some in enumerate(np.array_split(np.arange(n), n_files)):
        pq.write_table(table.take(pa.array(some)), f"images/train-{part}.parquet", row_group_size=170)
    pq.write_table(table.slice(0, 5), "images/test.parquet")
    found = layout("parquet", "images", val_fraction=0.25)
    assert found.name == "images"
    assert found.label_space.class_names == ("kind 0", "kind 1", "kind 2")
    ids = [f"train/{k}" for k in range(n)]
    val = held_out(ids, found.train.membership, 0.25, "val", multi_label=False)
    expected = {
        name: ("val" if held else "train", [k], decode(data))
        for name, held, k, data in zip(ids, val, labels, images, strict=True)
    }
    same(rows(found.train), expected)
    same(rows(found.test), {f"test/{k}": ("test", [labels[k]], decode(images[k])) for k in range(5)})
    some = np.array([0, 5, 169, 170, 201, 400, 599])
    read = list(found.train.images.read(some))  # type: ignore[attr-defined]
    assert read == [images[k] for k in some]


def test_one_parquet_file_is_divided_by_hash() -> None:
    names = [f"photo {k}" for k in range(40)]
    making.parquet("photos.parquet", id=names, label=["b" if k % 4 else "a" for k in range(40)])
    found = layout("parquet", "photos.parquet", test_fraction=0.25, val_fraction=0)
    assert found.label_space.class_names == ("a", "b")
    test = held_out(names, found_membership(names), 0.25, "test", multi_label=False)
    assert found.test.ids.to_pylist() == [name for name, out in zip(names, test, strict=True) if out]
    everything = rows(found.train) | rows(found.test)
    assert len(everything) == 40
    for k, name in enumerate(names):
        assert everything[name][1] == [int(k % 4 != 0)]
        assert np.array_equal(everything[name][2], making.pixels(k))


def found_membership(names: list[str]) -> Any:
    return LabelSpace(("a", "b")).membership([int(k % 4 != 0) for k in range(len(names))])


def test_a_separate_test_file_and_rows_without_ids() -> None:
    making.parquet("a/x.parquet", label=[1, 0])
    making.parquet("b/x.parquet", label=[0, 1, 1])
    found = layout("parquet", "a/x.parquet", test_path="b/x.parquet", val_fraction=0)
    assert found.train.ids.to_pylist() == ["train/0", "train/1"]
    assert found.test.ids.to_pylist() == ["test/0", "test/1", "test/2"]


LABELS = [[0, 2], [], [1], None]


@pytest.mark.parametrize(
    ("tags", "names"),
    [
        ([["x", "z"], [], ["y"], []], ("x", "y", "z")),
        ([["x", "z"], ["more"], ["y"], []], ("0", "1", "2")),  # words of another kind
        ([["x", "x"], [], ["x"], []], ("x", "x", "x")),
        (None, ("0", "1", "2")),
    ],
)
def test_lists_of_labels_and_what_names_them(tags: Any, names: tuple[str, ...]) -> None:
    columns = {"id": list("abcd"), "label": [0, 1, 0, 1], "labels": pa.array(LABELS, pa.list_(pa.int32()))}
    making.parquet("images/train.parquet", **columns, tags=tags)
    making.parquet("images/test.parquet", **{**columns, "id": list("efgh")})
    found = layout("parquet", "images", val_fraction=0)
    assert found.label_space.multi_label
    assert found.label_space.class_names == names
    assert label_lists(found.train.membership) == [
        [0, 2],
        [],
        [1],
        [],
        [],
    ]  # no list at all, in either file, is no label
    assert [SPLITS[code] for code in found.train.split] == ["train", "train", "train", "unlabelled", "unlabelled"]
    assert found.train.ids.to_pylist() == ["a", "b", "c", "d", "h"]
    one = layout("parquet", "images", val_fraction=0, label_column="label")
    assert not one.label_space.multi_label
    assert label_lists(one.train.membership) == [[0], [1], [0], [1]]


def test_labels_as_lists_of_texts() -> None:
    making.parquet("a.parquet", id=list("abc"), labels=[["dog", "ball"], [], ["cat"]])
    found = layout("parquet", "a.parquet", test_fraction=0.34, val_fraction=0)
    assert found.label_space.class_names == ("ball", "cat", "dog")
    assert {i: row[1] for i, row in (rows(found.train) | rows(found.test)).items()} == {"a": [0, 2], "b": [], "c": [1]}


NAMES = {"huggingface": json.dumps({"info": {"features": {
    "label": {"names": ["cat", "dog", "emu"], "_type": "ClassLabel"},
    "labels": {"feature": {"names": ["cat", "dog", "emu"], "_type": "ClassLabel"}, "_type": "List"},
}}})}  # fmt: skip


def opened(label: pa.Array, metadata: dict[str, str] | None = None, column: str = "label", **beside: Any) -> Layout:
    """One file with some labels, all of its images in the split train or unlabelled but for those of `test`."""
    n = len(label)
    test = {"image": [making.png(k) for k in range(3)], "label": label[:3], "id": list("xyz")}
    making.parquet("images/train.parquet", **{column: label}, id=[f"{k}" for k in range(n)], **beside)
    table = pq.read_table("images/train.parquet").replace_schema_metadata(metadata)
    pq.write_table(table, "images/train.parquet")
    pq.write_table(pa.table({column if name == "label" else name: some for name, some in test.items()}),
                   "images/test.parquet")  # fmt: skip
    return layout("parquet", "images", val_fraction=0)


WHOLE = [2, 0, 1, None, 2]
INDICES: dict[str, pa.Array] = {
    **{f"{kind}": pa.array(WHOLE, kind) for kind in (pa.int8(), pa.uint8(), pa.int64(), pa.uint64(), pa.float32())},
    "pandas with gaps": pa.array([2.0, 0.0, 1.0, float("nan"), 2.0]),
    "decimal": pa.array(WHOLE).cast(pa.decimal128(20, 0)),
    "categories of numbers": pa.array(WHOLE, pa.int32()).dictionary_encode(),
    "minus one": pa.array([2, 0, 1, -1, 2]),
}


@pytest.mark.parametrize("label", INDICES.values(), ids=INDICES)
def test_class_indices_of_every_type(label: pa.Array) -> None:
    found = opened(label)
    assert found.label_space.class_names == ("0", "1", "2")
    assert label_lists(found.train.membership) == [[2], [0], [1], [], [2]]
    assert np.flatnonzero(found.train.split == UNLABELLED).tolist() == [3]
    assert found.notes == ("images: 1 of 8 images have no label: nothing is learnt from them",)


TEXTS: dict[str, pa.Array] = {
    "string": pa.array(["emu", "cat", "dog", None]),
    "large_string": pa.array(["emu", "cat", "dog", None], pa.large_string()),
    "string_view": pa.array(["emu", "cat", "dog", None], pa.string_view()),
    "categories": pa.array(["emu", "cat", "dog", None]).dictionary_encode(),
    "bytes": pa.array([b"emu", b"cat", b"dog", None]),
    "bytes of one size": pa.array([b"emu", b"cat", b"dog", None], pa.binary(3)),
}  # fmt: skip


@pytest.mark.parametrize("label", TEXTS.values(), ids=TEXTS)
def test_class_names_of_every_type(label: pa.Array) -> None:
    found = opened(label)
    assert found.label_space.class_names == ("cat", "dog", "emu")
    assert label_lists(found.train.membership) == [[2], [0], [1], []]
    beside = opened(pa.array([2, 0, 1, None]), class_name=label) if not is_bytes(label.type) else found
    assert beside.label_space.class_names == ("cat", "dog", "emu")


def test_class_names_in_the_metadata() -> None:
    assert opened(pa.array([2, 0, 1]), NAMES).label_space.class_names == ("cat", "dog", "emu")
    lists = pa.array([[2], [0, 1], []], pa.list_(pa.uint8()))
    assert opened(lists, NAMES, "labels").label_space.class_names == ("cat", "dog", "emu")
    assert opened(pa.array([2, 0, 1]), {"huggingface": "?"}).label_space.class_names == ("0", "1", "2")


@pytest.mark.parametrize("kind", [pa.list_(pa.uint8()), pa.large_list(pa.float64()), pa.list_(pa.int64(), 3), "bool"])
def test_vectors_of_0_and_1(kind: Any) -> None:
    hot: list[Any] = [[1, 0, 1], [0, 0, 1], [0, 1, 0], [0, 0, 0], None]
    if kind == "bool":
        hot, kind = [row and [bool(k) for k in row] for row in hot], pa.list_(pa.bool_())
    found = opened(pa.array(hot, kind), column="labels")
    assert found.label_space == LabelSpace(("0", "1", "2"), multi_label=True)
    assert label_lists(found.train.membership) == [[0, 2], [2], [1], [], []]
    assert [SPLITS[code] for code in found.train.split][3:] == ["train", "unlabelled"]
    assert "the lists of labels are read as 0/1 vectors of 3 classes" in found.notes[0]


@pytest.mark.parametrize("odd", [[0], [], [0, 2], [0, 1, 1]])
def test_lists_of_0_and_1_that_are_no_vectors(odd: list[int]) -> None:
    found = opened(pa.array([[0, 1], [1, 0], odd, [-1]]), column="labels")
    assert label_lists(found.train.membership) == [[0, 1], [0, 1], sorted(set(odd)), []]
    assert found.train.split[3] == UNLABELLED
    assert not any("vectors" in note for note in found.notes)


@pytest.mark.parametrize(
    ("label", "column", "said"),
    [
        (pa.array([True, False, True]), "label", r"column label: got bool, expected class indices or texts"),
        (pa.array([0, 1, 2**64 - 1], pa.uint64()), "label", r"got 18446744073709551615 among uint64, expected class"),
        (pa.array([0.0, 1.0, float("inf")]), "label", r"got inf among double, expected class indices"),
        (pa.array([b"a", b"b", b"\xff"]), "label", r"column label: got bytes that are no UTF-8"),
        (pa.array([[0], [1], [0]]), "label", r"got list.*; call the column labels if an image may have several"),
        (pa.array([[True], [True, False], [True]]), "labels", r"got lists of bool, expected 0/1 vectors of one length"),
        (pa.array([0, 1, -2]), "label", r"label of '2': got -2, expected a class index"),
        (pa.array([[], [], []], pa.list_(pa.int8())), "labels", r"images: got no label at all"),
    ],
)
def test_labels_that_are_refused(label: pa.Array, column: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        opened(label, column=column)


@pytest.mark.parametrize("kind", [pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int32(), pa.binary())])
def test_images_of_every_type_of_bytes(kind: pa.DataType) -> None:
    making.both({"image": pa.array([making.png(0), making.png(1)], pa.binary()).cast(kind)})
    found = rows(layout("parquet", "images", val_fraction=0).train)
    assert all(np.array_equal(found[name][2], making.pixels(k)) for k, name in enumerate("ab"))


@pytest.mark.parametrize("column", ["label", "image"])
def test_a_damaged_page(column: str) -> None:
    making.both()
    making.spoil("images/train.parquet", column)
    with pytest.raises(
        DataError, match=rf"images/train\.parquet: column.*{column}: got what cannot be read after 0 rows"
    ):
        list(layout("parquet", "images", val_fraction=0).train.images)


def test_a_column_of_splits() -> None:
    splits = ["test", "Train", "validation", "train", "test"]
    making.parquet("all.parquet", id=list("abcde"), label=[0, 1, 0, 0, 1], split=pa.array(splits).dictionary_encode())
    found = layout("parquet", "all.parquet")
    same(rows(found.train), {name: (split, [k], making.pixels(n)) for name, split, k, n in
                             (("b", "train", 1, 1), ("d", "train", 0, 3), ("c", "val", 0, 2))})  # fmt: skip
    same(rows(found.test), {"a": ("test", [0], making.pixels(0)), "e": ("test", [1], making.pixels(4))})
    making.parquet("all.parquet", id=list("ab"), label=[0, 1], split=["train", None])
    with pytest.raises(DataError, match=r"all\.parquet: split of row 1: got 'None', expected train, val or test"):
        layout("parquet", "all.parquet")


def test_files_and_folders_that_go_by_the_splits_other_names() -> None:
    for k, name in enumerate(("Train-00000", "train/x", "validation-0", "dev/y", "testing", "values")):
        making.parquet(f"images/{name}.parquet", id=[f"{k}a", f"{k}b"], label=[0, 1])
    found = layout("parquet", "images")
    assert found.train.ids.to_pylist() == ["0a", "0b", "1a", "1b", "3a", "3b", "2a", "2b"]
    assert np.bincount(found.train.split).tolist() == [4, 4]
    assert found.test.ids.to_pylist() == ["4a", "4b"]
    assert found.notes == ("images: 1 files belong to no split, the first values.parquet; left out",)


@pytest.mark.parametrize(
    "label", [pa.nulls(4), pa.array([-1, None, -1, -1]), pa.array([None] * 4, pa.list_(pa.int8()))]
)
def test_a_file_in_which_nothing_has_a_label(label: pa.Array) -> None:
    column = "labels" if is_list(label.type) else "label"
    making.parquet("all.parquet", id=list("abcd"), **{column: label})
    found = layout("parquet", "all.parquet")
    assert found.label_space.n_classes == 0
    assert [SPLITS[code] for code in found.train.split] == ["train"] * 4
    assert len(found.test) == 0
    assert found.notes == ("all: none of 4 images has a label, so there is no class to learn",)


def test_labels_that_are_not_wanted() -> None:
    making.both()
    found = layout("parquet", "images", label_column="none")
    assert (found.label_space.n_classes, found.train.ids.to_pylist()) == (0, list("abcd"))
    making.both({"label": None}, {"label": None})
    assert layout("parquet", "images", label_column="none").train.ids.to_pylist() == list("abcd")
