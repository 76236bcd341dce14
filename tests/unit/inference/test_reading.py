"""Images as they are read for inference: one odd file or row costs none of the other answers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from csrms_dist.datasets.decoding import Unreadable
from csrms_dist.datasets.image_table import Rejected
from csrms_dist.errors import DataError
from csrms_dist.inference.reading import decoded_blocks, images_of
from tests.unit.datasets.making import image_files, pixels, png, spoil


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(path: str) -> tuple[dict[str, np.ndarray], list[Rejected]]:
    rejected: list[Rejected] = []
    found: dict[str, np.ndarray] = {}
    for block in decoded_blocks(images_of([Path(path)]), (8, 8, 3)):
        rejected += [Rejected(name, image.reason) for name, image in block if isinstance(image, Unreadable)]
        found |= {name: image for name, image in block if not isinstance(image, Unreadable)}
    return found, rejected


def test_a_folder_of_odd_things() -> None:
    image_files("photos/a.png", "photos/deep/b.PNG", "elsewhere/c.png")
    Path(os.fsdecode(b"photos/caf\xe9.png")).write_bytes(png(7))
    Path("photos/linked").symlink_to("../elsewhere")
    Path("photos/again").symlink_to(".")
    Path("photos/gone.png").symlink_to("nowhere.png")
    Path("photos/itself.png").symlink_to("itself.png")
    Path("photos/folder.png").mkdir()
    Path("photos/._a.png").write_bytes(b"what macOS leaves")
    os.mkfifo("photos/pipe.png")
    found, rejected = read("photos")
    expected = {"a.png": 0, "caf\\xe9.png": 7, "deep/b.PNG": 1, "linked/c.png": 2}
    assert list(found) == list(expected)
    assert all(np.array_equal(found[name], pixels(seed)) for name, seed in expected.items())
    assert {item.id: item.reason for item in rejected} == {
        "gone.png": "no such file or directory",
        "itself.png": "too many levels of symbolic links",
        "pipe.png": "no regular file",
    }


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_a_table_of_odd_rows(kind: pa.DataType) -> None:
    ids = pa.array(["a", None, "c", "d"]).dictionary_encode()
    images = pa.array([png(0), png(1), None, b"no image"], kind)
    pq.write_table(pa.table({"id": ids, "image": images}), "a.parquet")
    found, rejected = read("a.parquet")
    assert {name: np.array_equal(image, pixels(n)) for n, (name, image) in enumerate(found.items())} == {
        "a": True,
        "row 1": True,
    }
    assert [(item.id, item.reason) for item in rejected] == [
        ("c", "no bytes"),
        ("d", "not an image in a known format"),
    ]


def test_a_damaged_table() -> None:
    pq.write_table(pa.table({"id": [1, 2], "image": [png(0), png(1)]}), "a.parquet")
    spoil("a.parquet", "image")
    with pytest.raises(DataError, match=r"a\.parquet: columns id and image: got what cannot be read after 0 rows"):
        read("a.parquet")
    pq.write_table(pa.table({"image": ["a.png"]}), "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: column image: got string, expected encoded bytes"):
        read("a.parquet")
