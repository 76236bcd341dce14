"""VireoFood-172's lists, in the forms that copies of it have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from csrms_dist.datasets.image_table import write_image_table
from csrms_dist.datasets.layouts.choose import data_fingerprint
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.errors import DataError
from tests.unit.datasets import making
from tests.unit.datasets.opening import layout, rows, same

LISTS = {"TR": ["1/1_0.png", "2/2_0.png"], "VAL": ["2/2_1.png", "1/1_1.png"], "TE": ["1/1_2.png", "2/2 2.png"]}
FORMS: dict[str, Callable[[str], str]] = {
    "as shipped": lambda line: f"/{line}",
    "without the slash": str,
    "backslashes": lambda line: line.replace("/", "\\"),
    "from the folder of images on": lambda line: f"ready_chinese_food/{line}",
}


@pytest.mark.parametrize("form", FORMS)
def test_lists_in_every_form(form: str) -> None:
    making.vireofood172({name: [FORMS[form](line) for line in lines] for name, lines in LISTS.items()})
    found = layout("vireofood172", "food")
    assert (found.name, found.label_space.class_names) == ("vireofood172", ("Braised pork", "Fish"))
    training = {"1/1_0.png": ("train", [0]), "2/2_0.png": ("train", [1])}
    training |= {"2/2_1.png": ("val", [1]), "1/1_1.png": ("val", [0])}
    same(rows(found.train), {name: (*row, making.pixels(seed)) for seed, (name, row) in enumerate(training.items())})
    same(rows(found.test), {"1/1_2.png": ("test", [0], making.pixels(4)), "2/2 2.png": ("test", [1], making.pixels(5))})


def test_without_names_and_without_a_list_for_validation() -> None:
    lines = [f"{number}/{k}.png" for number in (1, 2) for k in range(10)]
    making.vireofood172({"TR": lines, "TE": ["1/a.png", "2/b.png"]})
    Path("food/SplitAndIngreLabel/FoodList.txt").unlink()
    found = layout("vireofood172", "food", val_fraction=0.2)
    assert found.label_space.class_names == ("1", "2")
    assert sorted(row[0] for row in rows(found.train).values()) == ["train"] * 16 + ["val"] * 4


def test_an_image_that_is_listed_and_missing_is_set_aside() -> None:
    making.vireofood172({"TR": [*LISTS["TR"], "1/3.png"], "TE": LISTS["TE"]})
    settings = DataSettings(dataset="vireofood172", path="food")
    before = data_fingerprint(settings)
    Path("food/ready_chinese_food/1/3.png").unlink()
    assert data_fingerprint(settings) != before
    written = write_image_table(Path("train.arrow"), layout("vireofood172", "food", val_fraction=0).train)
    assert [row.id for row in written.rejected] == ["1/3.png"]


@pytest.mark.parametrize("line", ["0/1.png", "x/1.png", "1/2/3.png", "²/1.png"])
def test_a_line_that_is_no_path_is_refused(line: str) -> None:
    making.vireofood172(LISTS)
    making.table(f"{line}\n", "food/SplitAndIngreLabel/TE.txt")
    with pytest.raises(DataError, match=r"TE\.txt: got the line '.*', expected /<number of the class>/<file>"):
        layout("vireofood172", "food")


def test_files_that_are_no_lists() -> None:
    making.vireofood172(LISTS)
    making.table("", "food/SplitAndIngreLabel/TE.txt")
    with pytest.raises(DataError, match=r"TE\.txt: got an empty file"):
        layout("vireofood172", "food")
    Path("food/SplitAndIngreLabel/TE.txt").write_bytes("1/é.png".encode("latin1"))
    with pytest.raises(DataError, match=r"TE\.txt: got bytes that are no UTF-8"):
        layout("vireofood172", "food")
    with pytest.raises(DataError, match=r"^food/SplitAndIngreLabel: got no ready_chinese_food/ in it"):
        layout("vireofood172", "food/SplitAndIngreLabel")
