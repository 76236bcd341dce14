"""NUS-WIDE's files: what is kept is what plain loops keep, and what is left out is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from csrms_dist.datasets.image_table import write_image_table
from csrms_dist.datasets.layouts import nus_wide
from csrms_dist.datasets.layouts.choose import data_fingerprint
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.errors import DataError
from tests.unit.datasets import making
from tests.unit.datasets.opening import layout, rows

TRAIN = {
    r"actor\0001_21.png": ("10", "010"),
    r"actor\0002_22.png": ("00", "010"),
    r"zoo\0001_23.png": ("11", "000"),
    r"zoo\0002_24.png": ("00", "000"),
    r"zoo\0003_25.png": ("11", "111"),
}
TEST = {r"actor\0003_26.png": ("11", "100"), r"zoo\0004_27.png": ("10", "000")}


def write(folder: str, *, nested: bool) -> None:
    making.nus_wide(TRAIN, TEST)
    Path("nus/Flickr/actor").rmdir()
    Path("nus/Flickr").rmdir()
    names = [path.replace("\\", "/") for path in (*TRAIN, *TEST)]
    making.image_files(*(f"nus/{folder}/{name if nested else name.rpartition('/')[2]}" for name in names))


@pytest.mark.parametrize(("folder", "nested"), [("Flickr", True), ("images", True), ("images", False)])
def test_images_with_a_concept_and_a_tag_are_kept(folder: str, *, nested: bool) -> None:
    write(folder, nested=nested)
    found = layout("nus_wide", "nus", val_fraction=0)
    assert (found.name, found.label_space.class_names, found.label_space.multi_label) == (
        "nus_wide",
        ("animal", "sky"),
        True,
    )
    for source, images, first in ((found.train, TRAIN, 0), (found.test, TEST, len(TRAIN))):
        expected = {}
        for seed, (path, (labels, tags)) in enumerate(images.items(), first):
            if "1" in labels and "1" in tags:
                expected[path.replace("\\", "/")] = ([k for k in (0, 1) if labels[k] == "1"], making.pixels(seed))
        kept = rows(source)
        assert list(kept) == list(expected)
        assert all(kept[name][1] == row[0] and (kept[name][2] == row[1]).all() for name, row in expected.items())
    assert found.notes[:2] == (
        "nus_wide, train: 3 images of 5 left out: 2 without a concept, 2 without a tag, 1 of them without either",
        "nus_wide, test: 1 image of 2 left out: 0 without a concept, 1 without a tag, 0 of them without either",
    )


def test_another_number_than_papers_report_is_told_of_the_whole_list_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    write("Flickr", nested=True)
    said = "nus_wide, train: 2 images are left of the original list, where papers report 3"
    for listed, reported, told in ((5, 3, True), (5, 2, False), (6, 3, False)):
        parts = (nus_wide.Part("train", "Train", listed, reported), nus_wide.PARTS[1])
        monkeypatch.setattr(nus_wide, "PARTS", parts)
        assert (said in layout("nus_wide", "nus").notes) is told


def test_an_image_that_is_listed_and_missing_is_set_aside() -> None:
    write("Flickr", nested=True)
    settings = DataSettings(dataset="nus_wide", path="nus")
    before = data_fingerprint(settings)
    Path("nus/Flickr/actor/0001_21.png").unlink()
    assert data_fingerprint(settings) != before
    written = write_image_table(Path("train.arrow"), layout("nus_wide", "nus", val_fraction=0).train)
    assert [row.id for row in written.rejected] == ["actor/0001_21.png"]


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("Groundtruth/TrainTestLabels/Labels_sky_Train.txt", "0\n0\n2\n0\n1\n", r"got '2', expected 0 or 1"),
        ("Groundtruth/TrainTestLabels/Labels_sky_Train.txt", "0\n" * 6, r"got 6 of them for 5 listed images"),
        ("NUS_WID_Tags/Train_Tags1k.dat", "0\t1\n" * 4 + "0\n", r"got rows of several lengths"),
        ("NUS_WID_Tags/Train_Tags1k.dat", "0\t3\n" * 5, r"got something else in a row"),
        ("ConceptsList/Concepts81.txt", "\n", r"got an empty file, expected the name of a concept in each line"),
    ],
)
def test_what_is_no_file_of_nus_wide_is_refused(path: str, text: str, said: str) -> None:
    write("Flickr", nested=True)
    making.table(text, f"nus/{path}")
    with pytest.raises(DataError, match=rf"^nus/{path}: {said}"):
        layout("nus_wide", "nus")
