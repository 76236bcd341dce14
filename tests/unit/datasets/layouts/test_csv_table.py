"""A CSV yields the images, labels and splits of its lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from csrms_dist.datasets.image_source import SPLITS
from csrms_dist.datasets.image_table import write_image_table
from csrms_dist.datasets.layouts.choose import data_fingerprint
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.errors import DataError
from csrms_dist.labels import label_lists
from tests.unit.datasets import making
from tests.unit.datasets.opening import layout, rows, same


def test_csv_with_splits_ids_and_several_labels() -> None:
    making.image_files("data/p/a.png", "data/p/b.png", "data/c, d.png")
    making.table(
        'path,labels,id,split,note\np/a.png,dog;ball,1,train,x\np/b.png,,2,test,\n"c, d.png", dog ,3,val,\n',
        "data/t.csv",
    )
    found = layout("csv", "data/t.csv")
    assert (found.name, found.label_space.class_names) == ("t", ("ball", "dog"))
    same(rows(found.train), {"1": ("train", [0, 1], making.pixels(0)), "3": ("val", [1], making.pixels(2))})
    same(rows(found.test), {"2": ("test", [], making.pixels(1))})


def test_csv_of_class_indices_with_a_test_table_elsewhere() -> None:
    making.image_files("a/1.png", "a/2.png", "b/1.png")
    making.table("label,path\n10,1.png\n2,2.png\n", "a/t.csv")
    making.table("label,path\n2,1.png\n", "b/t.csv")
    with pytest.raises(DataError, match="no image of the class '0' \\(9 such classes\\)"):
        layout("csv", "a/t.csv", test_path="b/t.csv")
    making.table("label,path\n1,1.png\n0,2.png\n", "a/t.csv")
    making.table("label,path\n1,1.png\n", "b/t.csv")
    found = layout("csv", "a/t.csv", test_path="b/t.csv", val_fraction=0)
    same(
        rows(found.train),
        {"train/1.png": ("train", [1], making.pixels(0)), "train/2.png": ("train", [0], making.pixels(1))},
    )
    same(rows(found.test), {"test/1.png": ("test", [1], making.pixels(2))})


@pytest.mark.parametrize(
    ("labels", "names", "found"),
    [
        (("+0", "+1"), ("0", "1"), [0, 1]),
        (("1.0", "0.0"), ("0", "1"), [1, 0]),  # pandas, where some labels are missing
        (("\u0660", "\u0661"), ("\u0660", "\u0661"), [0, 1]),  # digits of another script are names
        (("\u0966", "1"), ("1", "\u0966"), [1, 0]),
        (("10" * 3000, "9"), ("9", "10" * 3000), [1, 0]),
        (("²", "1e3"), ("1e3", "²"), [1, 0]),
    ],
)
def test_labels_that_look_like_numbers(labels: tuple[str, str], names: tuple[str, str], found: list[int]) -> None:
    making.table(
        "path,label,split\n" + "".join(f"{n}.png,{labels[n % 2]},{'train' if n < 2 else 'test'}\n" for n in range(4))
    )
    opened = layout("csv", "images.csv", val_fraction=0)
    assert opened.label_space.class_names == names
    assert label_lists(opened.train.membership) == [[found[0]], [found[1]]]


def test_rows_without_a_label() -> None:
    making.table("path,label,split\na,1,Train\nb,,train\nc,null,TEST\nd,-1,dev\ne,0,training\nf,0,test\n")
    found = layout("csv", "images.csv", val_fraction=0)
    assert dict(zip(found.train.ids.to_pylist(), [SPLITS[k] for k in found.train.split], strict=True)) == {
        "a": "train", "b": "unlabelled", "c": "unlabelled", "d": "unlabelled", "e": "train",
    }  # fmt: skip
    assert label_lists(found.train.membership) == [[1], [], [0], [], []]
    assert found.test.ids.to_pylist() == ["f"]
    making.table("path,labels,split\na,1;0,train\nb,,train\nc,NULL,train\nd,-1,train\nf,0,test\n")
    found = layout("csv", "images.csv", val_fraction=0)
    assert [SPLITS[k] for k in found.train.split] == ["train", "train", "unlabelled", "unlabelled"]
    assert label_lists(found.train.membership) == [[0, 1], [], [], []]


def test_a_table_of_paths_alone() -> None:
    making.image_files("a.png", "b.png")
    making.table("path\na.png\nb.png\n")
    found = layout("csv", "images.csv", label_column="none")
    same(rows(found.train), {name: ("train", [], making.pixels(k)) for k, name in enumerate(("a.png", "b.png"))})
    assert (found.label_space.n_classes, len(found.test)) == (0, 0)


def test_an_odd_path_costs_its_own_row_alone() -> None:
    making.image_files("a.png", "b.png")
    making.table(
        f"path,label,split\na.png,0,train\nx\0y.png,0,train\n{'z' * 300}.png,0,train\n.,0,train\nb.png,0,test\n"
    )
    settings = DataSettings(dataset="csv", path="images.csv", val_fraction=0)
    assert data_fingerprint(settings)
    written = write_image_table(Path("train.arrow"), layout("csv", "images.csv", val_fraction=0).train)
    assert [(item.id[:3], item.reason) for item in written.rejected] == [
        ("x\0y", "a path that no file can have"), ("zzz", "file name too long"), (".", "no regular file"),
    ]  # fmt: skip
