"""Folders of images yield the same images, labels and splits as their paths say."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from csrms_dist.errors import DataError
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


def test_a_file_name_that_is_no_text(tmp_path: Path) -> None:
    making.image_files("a/cat/1.png", "a/dog/2.png")
    Path(os.fsdecode(b"a/cat/\xff.png")).write_bytes(making.png(0))
    with pytest.raises(DataError, match=r"cat/\\udcff.png': got a name that is not UTF-8, expected text; rename it"):
        layout("folders", "a")
