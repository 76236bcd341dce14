"""An image table of several shards is that of one: whatever the shards, who wrote them, and how often."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csrms_dist.datasets.decoding import Stored, Unreadable, decode
from csrms_dist.datasets.image_source import ImageSource, Selected, in_memory
from csrms_dist.datasets.image_table import ImageTable, write_image_table
from csrms_dist.errors import DataError
from csrms_dist.labels import LabelSpace, label_lists
from tests.unit.datasets import making
from tests.unit.datasets.opening import layout

SPACE = LabelSpace(("cat", "dog", "owl"), multi_label=True)


def made(images: Sequence[Stored]) -> ImageSource:
    """A source that can be read in any order, of several labels."""
    n = len(images)
    rng = np.random.default_rng(n)
    labels = [sorted(rng.choice(3, size=rng.integers(0, 3), replace=False).tolist()) for _ in range(n)]
    split = ["train" if row % 4 else "val" for row in range(n)]
    source = in_memory("made", SPACE, [f"i/{row}" for row in range(n)], SPACE.membership(labels), split, [])
    return replace(source, images=Selected(Listed(tuple(images)), np.arange(n)))


class Listed:
    """A reader of images in memory that counts what it reads."""

    def __init__(self, images: tuple[Stored, ...]) -> None:
        self.images, self.read = images, 0

    def __call__(self, rows: np.ndarray[Any, Any]) -> Any:
        for row in rows.tolist():
            self.read += 1
            yield self.images[row]


def some_images(n: int, side: int, broken: Sequence[int] = ()) -> list[Stored]:
    return [b"broken" if row in broken else making.png(row, side) for row in range(n)]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def assert_equal(table: ImageTable, whole: ImageTable) -> None:
    assert table.ids.equals(whole.ids)
    assert np.array_equal(table.split, whole.split)
    assert label_lists(table.membership) == label_lists(whole.membership)
    rows = np.random.default_rng(0).permutation(len(whole))
    assert np.array_equal(table.pixels(rows), whole.pixels(rows))
    assert table.pixels(rows[:0]).shape == (0, *whole.shape)
    for split in ("train", "val"):
        assert table.channel_statistics(split) == whole.channel_statistics(split)
        assert np.array_equal(table.indices(split), whole.indices(split))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(3, 23), shard=st.integers(1, 12), broken=st.sets(st.integers(2, 22), max_size=6), size=st.just(8))
def test_a_table_of_shards_is_that_of_one(
    tmp_path_factory: pytest.TempPathFactory, n: int, shard: int, broken: set[int], size: int
) -> None:
    folder = tmp_path_factory.mktemp("t")
    source = made(some_images(n, size, [row for row in broken if row < n]))
    try:
        one = write_image_table(folder / "one.arrow", source)
    except DataError as error:  # a class without a readable image
        with pytest.raises(DataError, match=re.escape(str(error))):
            write_image_table(folder / "some.arrow", source, shard_images=shard)
        return
    some = write_image_table(folder / "some.arrow", source, shard_images=shard)
    assert (some.shape, some.rejected) == (one.shape, one.rejected)
    table = ImageTable(folder / "some.arrow")
    assert len(table.shards) == -(-n // shard)
    assert_equal(table, ImageTable(folder / "one.arrow"))
    assert (folder / "some.arrow").exists() == (n <= shard)
    for index in (-1, len(table)):
        with pytest.raises(IndexError):
            table.pixels(np.array([index]))


def test_large_images_are_decoded_from_their_shard(tmp_path: Path) -> None:
    source = made(some_images(7, 70, [1, 2, 3]))
    write_image_table(tmp_path / "one.arrow", source)
    write_image_table(tmp_path / "some.arrow", source, shard_images=3)
    table = ImageTable(tmp_path / "some.arrow")
    assert (table.decoded, table.starts.tolist()) == (False, [0, 1, 3, 4])
    assert_equal(table, ImageTable(tmp_path / "one.arrow"))


def test_a_shard_may_have_no_readable_image_and_the_first_readable_one_gives_the_shape(tmp_path: Path) -> None:
    source = made(some_images(9, 8, [0, 1, 2, 6, 7, 8]))
    write_image_table(tmp_path / "some.arrow", source, shard_images=3)
    table = ImageTable(tmp_path / "some.arrow")
    assert (table.starts.tolist(), table.shape) == ([0, 0, 3, 3], (8, 8, 3))
    assert np.array_equal(table.pixels(np.array([2, 0])), np.stack([making.pixels(5), making.pixels(3)]))
    with pytest.raises(DataError, match="made: got 9 unreadable images, the first 'i/0': not an image"):
        write_image_table(tmp_path / "none.arrow", made([b"broken"] * 9), shard_images=3)


def shipped(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - our own


def backwards_and_twice(function: Callable[..., Any], tasks: Sequence[Any], after: Callable[[int], None]) -> list[Any]:
    """As actors may do: other orders, other processes' copies, a task again whose actor died."""
    results = {}
    for number in reversed(range(len(tasks))):
        for _ in range(2):
            results[number] = shipped(function(*shipped(tasks[number])))
        after(number)
    return [results[number] for number in range(len(tasks))]


def test_bytes_do_not_depend_on_who_wrote_which_shard(tmp_path: Path) -> None:
    source = made(some_images(11, 8, [4]))
    heard: list[int] = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    write_image_table(tmp_path / "here/t.arrow", source, shard_images=4, on_images=heard.append)
    write_image_table(
        tmp_path / "there/t.arrow", source, shard_images=4, work=tmp_path / "work", run=backwards_and_twice,
        on_images=heard.append,
    )  # fmt: skip
    assert digests(tmp_path / "here") == digests(tmp_path / "there")
    assert [*digests(tmp_path / "here")] == [
        "t-00000.arrow", "t-00001.arrow", "t-00002.arrow", "t.json", "t.rows.arrow"
    ]  # fmt: skip
    assert sum(heard) == 2 * 11
    assert not any((tmp_path / "work").iterdir())


def test_finished_shards_are_not_read_again(tmp_path: Path) -> None:
    source = made(some_images(11, 8, [1]))
    write = {"shard_images": 4, "work": tmp_path / "work"}

    def stopped(function: Callable[..., Any], tasks: Sequence[Any], after: Callable[[int], None]) -> list[Any]:
        function(*tasks[0])
        (tmp_path / "work/.t-00001.arrow.of-a-killed-attempt").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_image_table(tmp_path / "t.arrow", source, run=stopped, **write)
    reader = source.images.read
    reader.read = 0
    again = write_image_table(tmp_path / "t.arrow", replace(source, shape=(8, 8, 3)), **write)
    assert reader.read == 11 - 4
    assert [item.id for item in again.rejected] == ["i/1"]
    assert_equal_to_one(tmp_path, source)


def assert_equal_to_one(tmp_path: Path, source: ImageSource) -> None:
    write_image_table(tmp_path / "one.arrow", source)
    assert_equal(ImageTable(tmp_path / "t.arrow"), ImageTable(tmp_path / "one.arrow"))


def test_a_table_of_many_shards_holds_no_file_open(tmp_path: Path) -> None:
    write_image_table(tmp_path / "t.arrow", made(some_images(40, 8)), shard_images=1)
    table = ImageTable(tmp_path / "t.arrow")
    table.pixels(np.arange(1))
    before = len(list(Path("/proc/self/fd").iterdir()))
    table.pixels(np.arange(40))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def written(dataset: str, path: str, **changes: Any) -> Selected:
    found = layout(dataset, path, **changes).train.images
    assert isinstance(found, Selected)
    return found


@pytest.mark.parametrize("kind", ["folders", "csv", "parquet", "parquet with splits"])
def test_a_part_of_any_layout_is_read_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    names = [f"pics/{'ab'[row % 2]}/{row}.png" for row in range(12)]
    making.image_files(*names)
    if kind == "folders":
        Path("pics/a/0.png").rename(os.fsdecode(b"pics/a/0\xe9.png"))
    making.table("path,label\n" + "".join(f"{name},{name[5]}\n" for name in names), "list.csv")
    columns = {"image": [making.png(row) for row in range(12)], "label": [row % 2 for row in range(12)]}
    making.parquet("train/train.parquet", **columns)
    making.parquet("split.parquet", **columns, split=["train", "test", "train", "val"] * 3)
    place = {"folders": "pics", "csv": "list.csv", "parquet": "train/train.parquet"}
    images = written(kind.split()[0], place.get(kind, "split.parquet"))
    expected = [decode(item) for item in images]
    part = shipped(images.part(slice(2, 5)))
    monkeypatch.chdir("/")
    found = [decode(item) for item in part]
    assert len(expected) >= 5
    assert not any(isinstance(item, Unreadable) for item in expected)
    assert all(np.array_equal(one, other) for one, other in zip(found, expected[2:5], strict=True))


def test_ids_may_take_offsets_of_64_bits(tmp_path: Path) -> None:
    source = made(some_images(5, 8, [2]))
    write_image_table(tmp_path / "t.arrow", replace(source, ids=source.ids.cast(pa.large_string())))
    table = ImageTable(tmp_path / "t.arrow")
    assert table.ids.type == pa.large_string()
    assert table.ids.to_pylist() == ["i/0", "i/1", "i/3", "i/4"]
