"""docs/data.md: each fault of data gets the sentence that it tells, and its example runs."""

from __future__ import annotations

import contextlib
import io
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from csrms_dist.datasets.image_table import write_image_table
from csrms_dist.datasets.layouts.choose import data_fingerprint, open_layout
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.errors import CsrmsError
from tests.unit.datasets import making

PAGE = Path(__file__).resolve().parents[3] / "docs" / "data.md"


def opened(dataset: str, path: str = "", **settings: Any) -> None:
    """Open a layout and write its tables, as the stage images does."""
    found = DataSettings(dataset=dataset, path=path, **settings)
    data_fingerprint(found)
    layout = open_layout(found)
    written = write_image_table(Path("train.arrow"), layout.train)
    write_image_table(Path("test.arrow"), layout.test, shape=written.shape)


def after(make: Callable[..., Any], *given: Any, **named: Any) -> Callable[..., None]:
    """`after(make, ...)(dataset, path)`: make the files, then open them."""
    make(*given, **named)
    return opened


def no_parquet() -> None:
    making.table("id,label\n", "images/train.parquet")


def empty_class() -> None:
    making.image_files("images/cat/a.png")
    Path("images/dog").mkdir()


def program() -> None:
    """A pickle that would run a command."""
    making.cifar10()

    class Command:
        def __reduce__(self) -> tuple[Any, ...]:
            return print, ("hello",)

    Path("cifar-10-batches-py/test_batch").write_bytes(pickle.dumps(Command(), protocol=2))


def without_labels() -> None:
    making.cifar10()
    Path("cifar-10-batches-py/test_batch").write_bytes(pickle.dumps({b"data": 0}, protocol=2))


def cut_short() -> None:
    making.cifar10()
    path = Path("cifar-10-batches-py/test_batch")
    path.write_bytes(path.read_bytes()[:100])


SKY = "Groundtruth/TrainTestLabels/Labels_sky"
FOOD = {"TR": ["1/1.jpg", "2/1.jpg"], "TE": ["1/2.jpg", "2/2.jpg"]}
NUS = (
    {"actor\\1.jpg": ("10", "1"), "actor\\2.jpg": ("01", "1")},
    {"actor\\3.jpg": ("10", "1"), "actor\\4.jpg": ("01", "1")},
)


def changed(path: str, text: str | None) -> None:
    """Write another text, or delete the file."""
    Path(path).unlink()
    if text is not None:
        Path(path).write_text(text)


def food(name: str, text: str | None) -> None:
    making.vireofood172(FOOD)
    changed(f"food/SplitAndIngreLabel/{name}.txt", text)


def nus(path: str, text: str | None) -> None:
    making.nus_wide(*NUS)
    changed(f"nus/{path}", text)


def nus_without_images() -> None:
    making.nus_wide(*NUS)
    Path("nus/Flickr").rename("nus/elsewhere")


def latin1() -> None:
    Path("images.csv").write_bytes("path,label\ncafé.png,cat\n".encode("latin1"))


def damaged() -> None:
    """A page of the labels is overwritten."""
    making.both()
    making.spoil("images/train.parquet", "label")
    opened("parquet", "images")


CASES: dict[str, Callable[[], None]] = {
    "a layout without `data.path`": lambda: opened("folders"),
    "`digits` with `data.path`": lambda: opened("digits", "images"),
    "a path where nothing is": lambda: opened("parquet", "nowhere"),
    "a folder without Parquet": lambda: after(making.image_files, "images/a.png")("parquet", "images"),
    "a file that is no Parquet": lambda: after(no_parquet)("parquet", "images"),
    "no column `image`": lambda: after(making.both, {"image": None})("parquet", "images"),
    "paths in the place of images": lambda: after(making.both, {"image": ["a.png", "b.png"]})("parquet", "images"),
    "no labels": lambda: after(making.both, {"label": None})("parquet", "images"),
    "labels that are no classes": lambda: after(making.both, {"label": [0.5, 1.0]})("parquet", "images"),
    "indices here, names there": lambda: after(making.both, test={"label": ["cat", "dog"]})("parquet", "images"),
    "two names for one class": lambda: after(making.both, {"label": [0, 0], "class_name": ["cat", "dog"]})(
        "parquet", "images"
    ),
    "an id twice in a split": lambda: after(making.both, {"id": ["a", "a"]})("parquet", "images"),
    "an id in two splits": lambda: after(making.both, test={"id": ["a", "d"]})("parquet", "images"),
    "an image without an id": lambda: after(making.both, {"id": ["a", None]})("parquet", "images"),
    "a negative label that is not -1": lambda: after(making.both, {"label": [0, -2]})("parquet", "images"),
    "an id in the place of a label": lambda: after(making.both, {"label": [0, 10**9]})("parquet", "images"),
    "a class without an image": lambda: after(making.both, {"label": [0, 3]})("parquet", "images"),
    "nothing in a list of labels": lambda: after(
        making.both, {"label": None, "labels": [[0], [1, None]]}, {"label": None, "labels": [[0], []]}
    )("parquet", "images"),
    "one label where lists are asked for": lambda: after(
        making.both, {"label": None, "labels": [0, 1]}, {"label": None, "labels": [0, 1]}
    )("parquet", "images"),
    "no test set": lambda: after(making.parquet, "all.parquet", id=["a", "b"], label=[0, 1])(
        "parquet", "all.parquet", test_fraction=0
    ),
    "only images that cannot be read": lambda: after(making.both, {"image": [b"", b"no image"]})("parquet", "images"),
    "a class without a readable image": lambda: after(making.both, {"image": [making.png(0), b"GIF89a"]})(
        "parquet", "images"
    ),
    "a damaged file": lambda: damaged(),
    "no image in a folder": lambda: after(making.table, "", "images/notes.txt")("folders", "images"),
    "an empty folder of a class": lambda: after(empty_class)("folders", "images"),
    "val/ without test/": lambda: after(making.image_files, "images/train/cat/a.png", "images/val/cat/b.png")(
        "folders", "images"
    ),
    "test/ without train/": lambda: after(making.image_files, "images/Test/cat/a.png")("folders", "images"),
    "two folders of one split": lambda: after(making.image_files, "images/train/cat/a.png", "images/Train/cat/b.png")(
        "folders", "images"
    ),
    "a CSV without paths": lambda: after(making.table, "file,label\na.png,cat\n")("csv", "images.csv"),
    "a CSV without labels": lambda: after(making.table, "path,class\na.png,cat\n")("csv", "images.csv"),
    "a comma in a path": lambda: after(making.table, "path,label\na,b.png,cat\n")("csv", "images.csv"),
    "an unknown split": lambda: after(making.table, "path,label,split\na.png,cat,holdout\n")("csv", "images.csv"),
    "a CSV in another encoding": lambda: after(latin1)("csv", "images.csv"),
    "no CIFAR in the folder": lambda: after(making.image_files, "images/a.png")("cifar", "images"),
    "a pickle that is a program": lambda: after(program)("cifar", "."),
    "a damaged pickle": lambda: after(cut_short)("cifar", "."),
    "a CIFAR file without labels": lambda: after(without_labels)("cifar", "."),
    "a CIFAR label out of range": lambda: after(making.cifar10, labels=[0, 2])("cifar", "."),
    "a line that is no path of VireoFood-172": lambda: after(food, "TR", "1/1.jpg\n1.jpg\n")("vireofood172", "food"),
    "a class without a name": lambda: after(food, "TR", "3/1.jpg\n")("vireofood172", "food"),
    "no list of VireoFood-172": lambda: after(food, "TE", None)("vireofood172", "food"),
    "no images of NUS-WIDE": lambda: after(nus_without_images)("nus_wide", "nus"),
    "a concept without a file": lambda: after(nus, f"{SKY}_Train.txt", None)("nus_wide", "nus"),
    "labels of other images": lambda: after(nus, f"{SKY}_Train.txt", "0\n")("nus_wide", "nus"),
    "tags of other images": lambda: after(nus, "NUS_WID_Tags/Test_Tags1k.dat", "1\t0\t\n")("nus_wide", "nus"),
}


def told() -> dict[str, str]:
    rows = PAGE.read_text().partition("<!-- sentences -->\n")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [row.strip("|").split(" | ") for row in rows]
    return {given.strip(): said.strip() for given, said in cells}


def said(case: str) -> str:
    with pytest.raises(CsrmsError) as caught:
        CASES[case]()
    return f"`{caught.value}`"


@pytest.mark.parametrize("case", CASES)
def test_the_sentence_is_the_one_in_the_page(case: str) -> None:
    assert said(case) == told()[case]


def test_the_page_tells_of_no_other() -> None:
    assert list(told()) == list(CASES)


def examples() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_example_of_parquet_runs() -> None:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(examples()[0], "data.md", "exec"), {})  # noqa: S102
    assert output.getvalue() == "('cat', 'dog') 2 2\n"


def test_the_example_of_a_layout_of_one_s_own_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("own.py").write_text(examples()[1])
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("own", None)
    making.image_files(*(f"photos/{k % 2}-{k}.png" for k in range(20)))
    settings = DataSettings(dataset="own:NUMBERED", path="photos")
    before, found = data_fingerprint(settings), open_layout(settings)
    assert (len(found.train), len(found.test), found.label_space.n_classes) == (16, 4, 2)
    assert write_image_table(Path("train.arrow"), found.train).rejected == ()
    Path("photos/0-0.png").unlink()
    assert data_fingerprint(settings) != before
    sys.modules.pop("own")
