"""`csrms images` on users' data: what is set aside, what is warned of, and when it is made anew."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from csrms_dist.artefacts.fingerprints import fingerprint
from csrms_dist.datasets.image_table import ImageTable
from tests.end_to_end.harness import CONFIG
from tests.unit.datasets import making
from tests.unit.ray_jobs.conftest import Cli

PARQUET = ("--set", "data.dataset=parquet", "--set", "data.path=images", "--set", "data.val_fraction=0", "--out", "run")


def facts(tmp_path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((tmp_path / "run" / "images" / "stamp.json").read_text())["facts"]
    return found


def test_unreadable_images_are_set_aside_with_their_reason(cli: Cli, tmp_path: Path) -> None:
    good = [making.png(seed) for seed in range(4)]
    making.both(
        {"id": ["a", "b", "broken", "d"], "label": [0, 1, 1, 0], "image": [good[0], good[1], b"GIF89a", good[3]]},
        {"id": ["e", "empty", "g"], "label": [0, 1, 2], "image": [good[0], b"", good[2]]},
    )
    said = cli("images", CONFIG, *PARQUET)
    assert said.code == 0, said.err
    warnings = [line for line in said.err.splitlines() if line.startswith("warning: ")]
    assert warnings == [
        "warning: images: the class '2' has no training image (1 such classes); their 1 test labels count as wrong",
        "warning: images: 2 of 7 images cannot be read and were set aside, the first 'broken': not an image in a known "
        "format; all of them: run/images/rejected.parquet",
    ]
    assert pq.read_table(tmp_path / "run/images/rejected.parquet").to_pylist() == [
        {"id": "broken", "split": "train", "reason": "not an image in a known format"},
        {"id": "empty", "split": "test", "reason": "no bytes"},
    ]
    train, test = (ImageTable(tmp_path / f"run/images/{name}.arrow") for name in ("train", "test"))
    assert (train.ids.to_pylist(), test.ids.to_pylist()) == (["a", "b", "d"], ["e", "g"])
    assert np.array_equal(train.pixels(np.array([2]))[0], making.pixels(3))
    noted = facts(tmp_path)
    assert (noted["train"], noted["val"], noted["test"], noted["rejected"]) == (3, 0, 2, 2)
    assert (noted["test_only"], noted["multi_label"], noted["classes"]) == ([2], False, 3)
    assert noted["content_hash"] == fingerprint(train.content_hash, test.content_hash)
    assert noted["mean"] == train.channel_statistics()[0]


def test_changed_data_are_read_anew_and_others_are_not(cli: Cli, tmp_path: Path) -> None:
    making.both()
    assert cli("images", CONFIG, *PARQUET).out == "images: done, run/images\n"
    assert cli("images", CONFIG, *PARQUET).out == "images: was done already, run/images\n"
    before = facts(tmp_path)["content_hash"]
    making.both({"image": [making.png(7), making.png(8)]})
    assert cli("images", CONFIG, *PARQUET).out == "images: done, run/images\n"
    other = facts(tmp_path)["content_hash"]
    making.both({"image": [making.png(7), making.png(8)]}, {"image": [making.png(9)], "id": ["z"], "label": [0]})
    assert cli("images", CONFIG, *PARQUET).code == 0
    assert len({before, other, facts(tmp_path)["content_hash"]}) == 3


def test_images_of_a_given_size(cli: Cli, tmp_path: Path) -> None:
    making.both()
    assert cli("images", CONFIG, *PARQUET, "--set", "data.image_size=96").code == 0
    table = ImageTable(tmp_path / "run/images/train.arrow")
    assert (table.shape, table.decoded) == ((96, 96, 3), False)
    assert table.pixels(np.array([0])).shape == (1, 96, 96, 3)


def test_bad_data_leave_nothing_behind(cli: Cli, tmp_path: Path) -> None:
    making.both({"image": [b"", b""]})
    said = cli("images", CONFIG, *PARQUET)
    assert said.code == 3
    assert said.sentences == [
        "csrms images: images: got 2 unreadable images, the first 'a': no bytes, expected a readable image in the split"
        " train; repair or replace them"
    ]
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {".lock", "log.jsonl", "run.json"}


def test_a_path_that_is_not_there_makes_no_run(cli: Cli, tmp_path: Path) -> None:
    said = cli("images", CONFIG, *PARQUET)
    assert said.code == 3
    assert said.sentences == [
        "csrms images: data.path: got images, which is not there, expected a Parquet file or a folder of them"
    ]
    assert not (tmp_path / "run").exists()
