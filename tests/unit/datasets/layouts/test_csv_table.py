"""A CSV yields the images, labels and splits of its lines."""

from __future__ import annotations

import pytest

from csrms_dist.errors import DataError
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
