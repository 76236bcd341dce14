"""Parquet files yield the same images, labels and splits as plain loops over their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from csrms_dist.datasets.decoding import decode
from csrms_dist.datasets.splits import held_out
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
    assert label_lists(found.train.membership) == [[0, 2], [], [1], []]
    one = layout("parquet", "images", val_fraction=0, label_column="label")
    assert not one.label_space.multi_label
    assert label_lists(one.train.membership) == [[0], [1], [0], [1]]


def test_labels_as_lists_of_texts() -> None:
    making.parquet("a.parquet", id=list("abc"), labels=[["dog", "ball"], [], ["cat"]])
    found = layout("parquet", "a.parquet", test_fraction=0.34, val_fraction=0)
    assert found.label_space.class_names == ("ball", "cat", "dog")
    assert {i: row[1] for i, row in (rows(found.train) | rows(found.test)).items()} == {"a": [0, 2], "b": [], "c": [1]}
