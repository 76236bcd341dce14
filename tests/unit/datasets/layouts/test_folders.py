"""Folders of images yield the same images, labels and splits as their paths say."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.unit.datasets import making
from tests.unit.datasets.opening import layout, rows, same


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
    assert left_out == "pets: 1 file without the suffix of an image left out, the first cat/notes.txt"
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


@pytest.mark.parametrize("root", [".", "./", "cat/.."])
def test_the_root_is_the_current_folder(root: str) -> None:
    making.image_files(*(f"{kind}/{n}.png" for kind in ("cat", "dog") for n in range(5)))
    found = layout("folders", root)
    everything = rows(found.train) | rows(found.test)
    assert sorted(everything) == sorted(f"{kind}/{n}.png" for kind in ("cat", "dog") for n in range(5))
    assert all(name.startswith(("cat", "dog")[labels[0]]) for name, (_, labels, _) in everything.items())


def test_names_that_are_no_text() -> None:
    making.image_files("a/cat/1.png", "a/dog/2.png", "a/dog/é.png")
    Path(os.fsdecode(b"a/cat/caf\xe9.png")).write_bytes(making.png(7))
    Path(os.fsdecode(b"a/\xff")).mkdir()
    Path(os.fsdecode(b"a/\xff/3.png")).write_bytes(making.png(8))
    found = layout("folders", "a", test_path="a", val_fraction=0)
    assert found.label_space.class_names == ("cat", "dog", "\\xff")
    expected = {"train/cat/1.png": (0, 0), "train/cat/caf\\xe9.png": (0, 7), "train/dog/2.png": (1, 1),
                "train/dog/é.png": (1, 2), "train/\\xff/3.png": (2, 8)}  # fmt: skip
    same(rows(found.train), {name: ("train", [k], making.pixels(n)) for name, (k, n) in expected.items()})


SPLIT = [("train", "cat"), ("train", "dog"), ("test", "cat"), ("val", "dog")]


@pytest.mark.parametrize(
    "words",
    [
        {"train": "Train", "test": "TEST", "val": "Validation"},
        {"train": "training", "test": "testing", "val": "dev"},
        {"train": "", "test": "test", "val": "valid"},  # beside the classes
    ],
)
def test_split_folders_under_other_names(words: dict[str, str]) -> None:
    files = [str(Path(words[split], kind, "1.png")) for split, kind in SPLIT]
    making.image_files(*(f"pets/{file}" for file in files))
    found = layout("folders", "pets")
    assert found.label_space.class_names == ("cat", "dog")
    assert found.notes == ()
    expected = {
        file: (split, [int(kind == "dog")], making.pixels(n))
        for n, (file, (split, kind)) in enumerate(zip(files, SPLIT, strict=True))
    }
    same(rows(found.train) | rows(found.test), {files[n]: expected[files[n]] for n in (0, 1, 3, 2)})


def test_what_lies_beside_the_folders_of_splits_is_left_out_with_a_word() -> None:
    making.image_files("pets/train/cat/1.png", "pets/test/cat/2.png", "pets/masks/cat/3.png", "pets/dog/4.png")
    found = layout("folders", "pets")
    assert (len(found.train), len(found.test)) == (1, 1)
    assert found.notes == ("pets: folders beside train/ are left out: dog, masks",)


def test_a_class_that_is_called_train() -> None:
    making.image_files(*(f"pets/{kind}/{n}.png" for kind in ("car", "train") for n in range(5)))
    found = layout("folders", "pets")
    assert found.label_space.class_names == ("car", "train")
    assert found.notes == ("pets: train/ is taken for a class, because no folder of a class is in it",)


@pytest.mark.parametrize(
    "files", [["1.png", "2.png"], ["train/1.png", "test/2.png"], ["Train/1.png", "valid/2.png", "test/3.png"]]
)
def test_images_without_classes(files: list[str]) -> None:
    making.image_files(*(f"photos/{file}" for file in files))
    found = layout("folders", "photos")
    assert (found.label_space.n_classes, len(found.test)) == (0, 0)
    assert {name: row[0] for name, row in rows(found.train).items()} == dict.fromkeys(files, "train")
    assert found.notes == (f"photos: none of {len(files)} images has a label, so there is no class to learn",)


def test_images_beside_the_classes_have_no_label() -> None:
    making.image_files(*(f"pets/{kind}/{n}.png" for kind in ("cat", "dog") for n in range(5)), "pets/0.png")
    found = layout("folders", "pets", val_fraction=0)
    assert rows(found.train)["0.png"][:2] == ("unlabelled", [])
    assert len(found.test) == 2
    assert found.notes == ("pets: 1 of 11 images have no label: nothing is learnt from them",)


def test_test_images_that_nobody_labelled() -> None:
    making.image_files(*(f"pets/train/{kind}/{n}.png" for kind in ("cat", "dog") for n in range(5)), "pets/test/0.png")
    found = layout("folders", "pets", val_fraction=0)
    assert rows(found.train)["test/0.png"][:2] == ("unlabelled", [])
    assert all(name.startswith("train/") for name in rows(found.test))
    assert (len(found.train), len(found.test)) == (9, 2)
    assert found.notes == (
        "pets: 1 of 11 images have no label: nothing is learnt from them",
        "pets: no test image has a label, so test is held out of the training images",
    )
