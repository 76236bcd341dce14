"""Every layout yields the same images, labels and splits as plain loops over its files."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from csrms_dist.datasets.decoding import decode
from csrms_dist.datasets.image_source import SPLITS, ImageSource, Layout
from csrms_dist.datasets.layouts.choose import LAYOUTS, data_fingerprint, open_layout
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.datasets.splits import held_out
from csrms_dist.errors import DataError
from csrms_dist.labels import label_lists
from tests.unit.datasets import making

PAGE = Path(__file__).resolve().parents[3] / "docs" / "data.md"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield


def layout(dataset: str, path: str, **settings: Any) -> Layout:
    return open_layout(DataSettings(dataset=dataset, path=path, **settings))


def rows(source: ImageSource) -> dict[str, tuple[str, list[int], Any]]:
    """id -> (split, labels, pixels)."""
    images = list(source.images)
    assert len(images) == len(source) == source.membership.shape[0] == len(source.split)
    return {
        name: (SPLITS[code], labels, decode(image))
        for name, code, labels, image in zip(
            source.ids.to_pylist(), source.split, label_lists(source.membership), images, strict=True
        )
    }


def same(found: dict[str, tuple[str, list[int], Any]], expected: dict[str, tuple[str, list[int], Any]]) -> None:
    assert list(found) == list(expected)
    for name, (split, labels, pixels) in expected.items():
        assert found[name][:2] == (split, labels), name
        assert np.array_equal(found[name][2], pixels), name


def test_every_dataset_of_the_settings_has_a_layout() -> None:
    assert set(LAYOUTS) == set(DataSettings.__dataclass_fields__["dataset"].metadata["words"])


# ------------------------------------------------------------------------------------------------------------- parquet


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
    from csrms_dist.labels import LabelSpace

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


# ------------------------------------------------------------------------------------------------------------- folders


def test_folders_with_all_three_splits() -> None:
    files = ["train/cat/a.png", "train/cat/deep/b.PNG", "train/dog/c.jpg", "val/dog/d.png", "test/cat/e.png",
             "test/emu/f.png"]  # fmt: skip
    making.image_files(*(f"pets/{file}" for file in files), "pets/train/cat/.hidden.png")
    Path("pets/train/cat/notes.txt").write_text("no image")
    found = layout("folders", "pets")
    assert found.name == "pets"
    assert found.label_space.class_names == ("cat", "dog", "emu")
    expected = {
        file: (file.split("/")[0], [k], making.pixels(n))
        for n, (file, k) in enumerate(zip(files, (0, 0, 1, 1, 0, 2), strict=True))
    }
    same(rows(found.train), dict(list(expected.items())[:4]))
    same(rows(found.test), dict(list(expected.items())[4:]))
    assert found.test_only == (2,)
    left_out, alone = found.notes
    assert left_out == "pets: 1 files are no images by their suffix, the first cat/notes.txt; left out"
    assert alone == (
        "pets: the class 'emu' (2) has no training image (1 such classes); their 1 test labels count as wrong"
    )


@pytest.mark.parametrize("apart", [False, True])
def test_folders_of_classes_at_the_root(apart: bool) -> None:
    making.image_files(*(f"a/{kind}/{n}.png" for kind in ("x", "y") for n in range(10)), "b/x/0.png", "b/y/1.png")
    found = layout("folders", "a", test_path="b" if apart else "")
    assert len(found.test) == (2 if apart else 4)
    assert len(found.train) == (20 if apart else 16)
    first = found.train.ids[0].as_py()
    assert re.fullmatch(r"train/x/\d\.png" if apart else r"x/\d\.png", first)


# ----------------------------------------------------------------------------------------------------------------- csv


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


# --------------------------------------------------------------------------------------------------------------- cifar


@pytest.mark.parametrize("path", [".", "cifar-10-batches-py"])
def test_cifar_10_from_its_folder_or_the_one_above(path: str) -> None:
    making.cifar10(labels=[1, 0, 1])
    found = layout("cifar", path, val_fraction=0)
    assert (found.name, found.label_space.class_names) == ("cifar10", ("cat", "dog"))
    expected = {}
    for batch in range(5):
        for k, label in enumerate([1, 0, 1]):
            expected[f"train/{3 * batch + k:05d}"] = ("train", [label], making.pixels(10 * batch + k, 32))
    same(rows(found.train), expected)
    same(rows(found.test), {f"test/{k:05d}": ("test", [y], making.pixels(50 + k, 32)) for k, y in enumerate([1, 0, 1])})


def test_cifar_100() -> None:
    making.cifar100(labels=[1, 0, 0])
    found = layout("cifar", ".", val_fraction=0)
    assert (found.name, found.label_space.class_names) == ("cifar100", ("cat", "dog"))
    assert label_lists(found.train.membership) == [[1], [0], [0]]
    assert np.array_equal(rows(found.test)["test/00001"][2], making.pixels(11, 32))


# --------------------------------------------------------------------------------------------------------------- rules


def test_a_repeated_id_may_get_a_suffix() -> None:
    making.both({"id": ["a", "b", "a", "b", "a"], "label": [0, 1, 1, 0, 0]})
    found = layout("parquet", "images", on_duplicate_id="suffix")
    assert found.train.ids.to_pylist() == ["a", "b", "a#2", "b#2", "a#3"]
    assert label_lists(found.train.membership) == [[0], [1], [1], [0], [0]]
    making.both({"id": ["a", "a#2", "a"], "label": [0, 1, 1]})
    with pytest.raises(DataError, match="'a#2' beside what a suffix makes"):
        layout("parquet", "images", on_duplicate_id="suffix")
    making.both({"id": ["c", "c"]})
    with pytest.raises(DataError, match="'c' in train and in test"):
        layout("parquet", "images", on_duplicate_id="suffix")


def test_opening_decodes_nothing() -> None:
    making.both({"image": [b"no image", b""]})
    assert len(layout("parquet", "images").train) == 2


def test_the_fingerprint_follows_the_files() -> None:
    making.image_files("a/cat/1.png", "a/dog/2.png")
    making.table("path,label\na/cat/1.png,x\na/dog/2.png,y\nnowhere.png,y\n")
    both = [DataSettings(dataset="folders", path="a"), DataSettings(dataset="csv", path="images.csv")]
    before = [data_fingerprint(settings) for settings in both]
    assert [data_fingerprint(settings) for settings in both] == before
    os.utime("a/cat/1.png", ns=(1, 1))
    after = [data_fingerprint(settings) for settings in both]
    assert all(one != other for one, other in zip(before, after, strict=True))
    making.image_files("a/cat/3.png")
    assert data_fingerprint(both[0]) != after[0]
    assert data_fingerprint(both[1]) == after[1]
    assert data_fingerprint(DataSettings()) == ""


def test_the_example_of_the_page_runs() -> None:
    [block] = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(block, "data.md", "exec"), {})  # noqa: S102
    assert said.getvalue() == "('cat', 'dog') 2 2\n"


def test_a_file_name_that_is_no_text(tmp_path: Path) -> None:
    making.image_files("a/cat/1.png", "a/dog/2.png")
    Path(os.fsdecode(b"a/cat/\xff.png")).write_bytes(making.png(0))
    with pytest.raises(DataError, match=r"cat/\\udcff.png': got a name that is not UTF-8, expected text; rename it"):
        layout("folders", "a")
