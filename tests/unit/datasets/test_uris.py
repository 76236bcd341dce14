"""Where an image lies: the address in the table leads to the very image, whatever the layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from csrms_dist.datasets.decoding import decode
from csrms_dist.datasets.image_table import ImageTable, write_image_table
from tests.unit.datasets import making
from tests.unit.datasets.opening import layout


def tables(folder: Path, dataset: str, path: str, **settings: Any) -> list[ImageTable]:
    found = layout(dataset, path, **settings)
    made = []
    for name, source in (("train", found.train), ("test", found.test)):
        write_image_table(folder / f"{name}.arrow", source)
        made.append(ImageTable(folder / f"{name}.arrow"))
    return made


def at(uri: str) -> Any:
    file, mark, row = uri.rpartition("#")
    return decode(pq.read_table(file)["image"][int(row)].as_py() if mark else Path(uri))


def assert_lead_to_the_images(made: list[ImageTable]) -> None:
    for table in made:
        assert table.uris is not None
        assert len(set(table.uris.to_pylist())) == len(table) > 0
        for row, uri in enumerate(table.uris.to_pylist()):
            assert np.array_equal(table.pixels(np.array([row]))[0], at(uri)), uri


@pytest.mark.parametrize("splits", [True, False])
def test_folders(tmp_path: Path, splits: bool) -> None:
    classes = [f"{name}/{n}.png" for name in "ab" for n in range(8)]
    making.image_files(
        *(f"pics/{split}{name}" for split in (("train/", "test/") if splits else ("",)) for name in classes)
    )
    Path("pics", "train" if splits else "", "a", "0.png").write_bytes(b"broken")
    made = tables(tmp_path, "folders", "pics")
    assert_lead_to_the_images(made)
    assert all(uri.startswith(f"{Path.cwd()}/pics/") for uri in made[0].uris.to_pylist())


def test_csv(tmp_path: Path) -> None:
    making.image_files(*(f"data/p/{n}.png" for n in range(12)))
    lines = "".join(f"p/{n}.png,{'ab'[n % 2]},{'test' if n > 8 else 'train'}\n" for n in range(12))
    making.table("path,label,split\n" + lines, "data/t.csv")
    made = tables(tmp_path, "csv", "data/t.csv")
    assert_lead_to_the_images(made)
    assert made[1].uris.to_pylist() == [f"{Path.cwd()}/data/p/{n}.png" for n in (9, 10, 11)]


@pytest.mark.parametrize("column", [True, False])
def test_parquet_of_several_files(tmp_path: Path, column: bool) -> None:
    for number, file in enumerate(("train-0", "train-1", "test")):
        rows = range(10 * number, 10 * number + 10)
        making.parquet(f"shards/{file}.parquet", image=[making.png(n) for n in rows], label=[n % 2 for n in rows],
                       id=[f"i{n}" for n in rows])  # fmt: skip
    if not column:
        assert_lead_to_the_images(tables(tmp_path, "parquet", "shards"))
        return
    words = ["train", "test", "val", "train"] * 5
    making.parquet("all.parquet", image=[making.png(n) for n in range(20)], label=[n // 2 % 2 for n in range(20)],
                   id=[f"i{n}" for n in range(20)], split=words)  # fmt: skip
    made = tables(tmp_path, "parquet", "all.parquet")
    assert_lead_to_the_images(made)
    assert made[1].uris.to_pylist() == [f"{Path.cwd()}/all.parquet#{n}" for n in range(1, 20, 4)]


def test_images_of_a_package_have_no_address(tmp_path: Path) -> None:
    assert all(table.uris is None for table in tables(tmp_path, "digits", ""))
