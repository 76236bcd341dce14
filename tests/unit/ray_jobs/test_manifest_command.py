"""`csrms manifest` on the command line, and a run's images from what it wrote."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from csrms_dist.datasets.image_table import ImageTable
from tests.end_to_end.harness import CONFIG
from tests.unit.datasets import making
from tests.unit.ray_jobs.conftest import Cli


def test_a_folder_is_listed_and_read_in_shards(cli: Cli) -> None:
    making.image_files(*(f"pics/{name}/{n}.png" for name in ("cat", "dog") for n in range(9)), "pics/read.me")
    said = cli("manifest", "pics", "--out", "lists/m.parquet", "--workers", "1")
    size = sum(path.stat().st_size for path in Path("pics").glob("*/*"))
    assert said.out == f"lists/m.parquet: 18 images of 2 classes, {size / 1000:.0f} kB\n"
    assert said.err.splitlines()[-1].endswith(
        "pics/: 1 file without the suffix of an image left out, the first read.me"
    )
    assert "manifest  done   18 images in " in said.err
    settings = ("data.dataset=manifest", "data.path=lists/m.parquet", "data.val_fraction=0", "data.shard_images=5")
    overrides = [word for text in settings for word in ("--set", text)]
    assert cli("images", CONFIG, *overrides, "--out", "run").code == 0
    table = ImageTable(Path("run/images/train.arrow"))
    assert (len(table), len(table.shards)) == (14, 3)
    assert {path.name for path in Path("run/images").iterdir()} == {
        "rejected.parquet", "stamp.json", "test.arrow", "test.json", "test.rows.arrow", "train-00000.arrow",
        "train-00001.arrow", "train-00002.arrow", "train.json", "train.rows.arrow",
    }  # fmt: skip
    assert cli("images", CONFIG, *overrides, "--set", "data.actors=2", "--out", "run").out.startswith(
        "images: was done"
    )


def test_a_list_without_sizes(cli: Cli) -> None:
    making.image_files("pics/1.png")
    Path("list.txt").write_text("pics/1.png\n")
    assert cli("manifest", "list.txt", "--out", "m.parquet", "--no-sizes").out == "m.parquet: 1 image\n"
    assert pq.read_table("m.parquet")["size"].to_pylist() == [None]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (
            ("nowhere", "--out", "m.parquet"),
            3,
            "nowhere: got nothing of the kind, expected a folder of images, a URI of one",
        ),
        ((".", "--out", "m.csv"), 3, "--out: got m.csv, expected a file *.parquet"),
        ((".", "--out", "m.parquet", "--workers", "0"), 2, "--workers: got 0, expected a whole number from 1 on"),
    ],
)
def test_what_cannot_be_listed_is_one_sentence(cli: Cli, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    said = cli("manifest", *arguments)
    assert said.code == code
    assert said.sentences[0].startswith(f"csrms manifest: {sentence}")
