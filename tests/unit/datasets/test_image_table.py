"""An image table comes back as it was written, decoded or encoded, whatever cannot be read; or is refused by name."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from csrms_dist.datasets.decoding import decode
from csrms_dist.datasets.image_shard import CHUNK, ENCODED_ROWS, ROWS_PER_BATCH
from csrms_dist.datasets.image_source import SPLITS, ImageSource, in_memory
from csrms_dist.datasets.image_table import ImageTable, write_image_table
from csrms_dist.errors import DataError
from csrms_dist.labels import LabelSpace, label_lists

SPACE = LabelSpace(("cat", "élan", "dog"), multi_label=True)


def made(n: int, shape: tuple[int, int, int] = (2, 3, 3)) -> ImageSource:
    rng = np.random.default_rng(n)
    labels = [sorted(rng.choice(3, size=rng.integers(0, 3), replace=False).tolist()) for _ in range(n)]
    return in_memory(
        "made",
        SPACE,
        [f"photo é/{i}" for i in range(n)],
        SPACE.membership(labels),
        [("train", "val", "test")[i % 3] for i in range(n)],
        rng.integers(0, 256, (n, *shape), dtype=np.uint8),
    )


def single(images: Iterable[Any], labels: Sequence[int], split: Sequence[str] | None = None) -> ImageSource:
    space = LabelSpace(("cat", "dog"))
    ids = [f"image/{i}" for i in range(len(labels))]
    return in_memory("made", space, ids, space.membership(labels), split or ["train"] * len(labels), images)


def jpeg(seed: int, width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((width, height)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize("n", [1, ROWS_PER_BATCH, 2 * ROWS_PER_BATCH + 5])
def test_a_table_comes_back_as_it_was_written(tmp_path: Path, n: int) -> None:
    source = made(n)
    images = np.asarray(source.images)
    written = write_image_table(tmp_path / "t.arrow", replace(source, images=iter(images)))
    table = ImageTable(tmp_path / "t.arrow")
    assert (len(table), table.name, table.shape) == (n, "made", (2, 3, 3))
    assert (table.content_hash, table.shape, ()) == (written.content_hash, written.shape, written.rejected)
    assert table.label_space == SPACE
    assert table.ids.equals(source.ids)
    assert label_lists(table.membership) == label_lists(source.membership)
    assert table.membership.shape == (n, 3)
    for number, split in enumerate(("train", "val", "test")):
        assert table.indices(split).tolist() == list(range(number, n, 3))
    assert np.array_equal(table.pixels(np.arange(n)), images)
    some = np.array([n - 1, 0, n // 2, 0, min(ROWS_PER_BATCH, n - 1), min(ROWS_PER_BATCH - 1, n - 1)])
    assert np.array_equal(table.pixels(some), images[some])
    assert table.pixels(some[:0]).shape == (0, 2, 3, 3)


@pytest.mark.parametrize("n", [1, 2 * ENCODED_ROWS, CHUNK + ENCODED_ROWS + 3])
def test_large_images_stay_encoded_and_are_decoded_on_access(tmp_path: Path, n: int) -> None:
    encoded = [jpeg(i % 7, 70 + i % 5, 80) for i in range(n)]
    write_image_table(tmp_path / "t.arrow", single(encoded, [0] * n), shape=(72, 66, 3))
    table = ImageTable(tmp_path / "t.arrow")
    assert not table.decoded
    expected = np.stack([np.asarray(decode(data, (72, 66, 3))) for data in encoded])
    order = np.random.default_rng(0).permutation(n)
    assert np.array_equal(table.pixels(order), expected[order])
    mean, std = table.channel_statistics()
    assert mean == pytest.approx((expected / 255).mean(axis=(0, 1, 2)))
    assert std == pytest.approx((expected / 255).std(axis=(0, 1, 2)))
    stored = (tmp_path / "t.arrow").read_bytes()
    assert encoded[-1] in stored


def test_large_arrays_are_kept_without_loss(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 65, 64, 3), dtype=np.uint8)
    write_image_table(tmp_path / "t.arrow", single(images, [0, 1, 0]))
    table = ImageTable(tmp_path / "t.arrow")
    assert not table.decoded
    assert np.array_equal(table.pixels(np.arange(3)), images)


def test_the_first_readable_image_gives_the_shape(tmp_path: Path) -> None:
    images = [b"", *[b"not an image"] * CHUNK, jpeg(1, 30, 20), jpeg(2, 8, 8)]
    written = write_image_table(tmp_path / "t.arrow", single(images, [0] * len(images)))
    table = ImageTable(tmp_path / "t.arrow")
    assert table.shape == written.shape == (20, 30, 3)
    assert np.array_equal(table.pixels(np.array([1]))[0], decode(jpeg(2, 8, 8), (20, 30, 3)))


def test_what_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    good = [jpeg(i, 8, 8) for i in range(6)]
    images: list[Any] = list(good)
    images[1], images[4], images[5] = good[1][:-30], b"", tmp_path / "nowhere.png"
    labels, split = [0, 0, 1, 0, 1, 0], ["train", "train", "train", "val", "train", "val"]
    written = write_image_table(tmp_path / "t.arrow", single(images, labels, split))
    table = ImageTable(tmp_path / "t.arrow")
    assert table.ids.to_pylist() == ["image/0", "image/2", "image/3"]
    assert label_lists(table.membership) == [[0], [1], [0]]
    assert table.indices("val").tolist() == [2]
    assert np.array_equal(table.pixels(np.arange(3)), np.stack([np.asarray(decode(good[i])) for i in (0, 2, 3)]))
    assert [(item.id, item.split) for item in written.rejected] == [
        ("image/1", "train"), ("image/4", "train"), ("image/5", "val")
    ]  # fmt: skip
    assert "truncated" in written.rejected[0].reason
    assert [item.reason for item in written.rejected[1:]] == ["no bytes", "no such file or directory"]
    mean, _ = table.channel_statistics("train")
    expected = np.stack([np.asarray(decode(good[i])) for i in (0, 2)]) / 255
    assert mean == pytest.approx(expected.mean(axis=(0, 1, 2)))


def test_rows_that_nobody_labelled_are_a_split_of_their_own_and_may_all_be_unreadable(tmp_path: Path) -> None:
    good = [jpeg(i, 8, 8) for i in range(3)]
    membership = LabelSpace(("a",)).membership([0, None, 0, None])
    ids, split = [f"image/{n}" for n in range(4)], ["train", "unlabelled", "val", "unlabelled"]
    source = in_memory("made", LabelSpace(("a",)), ids, membership, split, [*good, b""])
    write_image_table(tmp_path / "some.arrow", source)
    table = ImageTable(tmp_path / "some.arrow")
    assert [table.indices(name).tolist() for name in SPLITS] == [[0], [2], [], [1]]
    assert label_lists(table.membership) == [[0], [], [0]]
    write_image_table(tmp_path / "none.arrow", replace(source, images=[good[0], b"", good[2], b""]))
    assert [ImageTable(tmp_path / "none.arrow").indices(name).tolist() for name in SPLITS] == [[0], [1], [], []]


def test_a_data_set_may_have_no_classes_and_no_test_images(tmp_path: Path) -> None:
    none = LabelSpace(())
    ids = ["a", "b"]
    written = write_image_table(
        tmp_path / "t.arrow",
        in_memory("made", none, ids, none.membership([None, None]), ["train"] * 2, [b"", jpeg(1, 8, 6)]),
    )
    table = ImageTable(tmp_path / "t.arrow")
    assert (table.label_space.n_classes, table.membership.shape, table.ids.to_pylist()) == (0, (1, 0), ["b"])
    empty = in_memory("made", none, [], none.membership([]), [], [])
    write_image_table(tmp_path / "empty.arrow", empty, shape=written.shape)
    nothing = ImageTable(tmp_path / "empty.arrow")
    assert (len(nothing), nothing.shape) == (0, (6, 8, 3))
    assert nothing.pixels(np.zeros(0, np.int64)).shape == (0, 6, 8, 3)


def test_pixels_are_a_copy(tmp_path: Path) -> None:
    write_image_table(tmp_path / "t.arrow", made(4))
    table = ImageTable(tmp_path / "t.arrow")
    first = table.pixels(np.array([0]))
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(table.pixels(np.array([0])), kept)


@pytest.mark.parametrize("index", [-1, 4])
def test_an_index_that_is_none_is_refused(tmp_path: Path, index: int) -> None:
    write_image_table(tmp_path / "t.arrow", made(4))
    with pytest.raises(IndexError):
        ImageTable(tmp_path / "t.arrow").pixels(np.array([0, index]))


def test_channel_statistics_are_those_of_the_split(tmp_path: Path) -> None:
    source = made(3 * ROWS_PER_BATCH + 7)
    write_image_table(tmp_path / "t.arrow", source)
    table = ImageTable(tmp_path / "t.arrow")
    for split in SPLITS[:3]:
        chosen = np.asarray(source.images)[table.indices(split)].astype(np.float64) / 255
        mean, std = table.channel_statistics(split)
        assert mean == pytest.approx(chosen.mean(axis=(0, 1, 2)))
        assert std == pytest.approx(chosen.std(axis=(0, 1, 2)))


def test_an_even_channel_has_a_deviation_that_divides(tmp_path: Path) -> None:
    write_image_table(tmp_path / "t.arrow", replace(made(3), images=np.full((3, 2, 3, 3), 7, np.uint8)))
    mean, std = ImageTable(tmp_path / "t.arrow").channel_statistics()
    assert mean == pytest.approx([7 / 255] * 3)
    assert min(std) > 0


def test_the_hash_is_of_content_alone(tmp_path: Path) -> None:
    source = made(6)
    images = np.asarray(source.images)

    def digest(some: ImageSource) -> str:
        return write_image_table(tmp_path / "t.arrow", some).content_hash

    kept = digest(source)
    assert digest(replace(source, name="other", images=list(images))) == kept
    other = images.copy()
    other[5, 0, 0, 0] ^= 1
    split = source.split.copy()
    split[0] = 2
    changed = [
        replace(source, images=other),
        replace(source, ids=pa.array([*source.ids.to_pylist()[:5], "x"])),
        replace(source, split=split),
        replace(source, membership=SPACE.membership([[0, 1, 2]] * 6)),
        replace(source, shape=(3, 2, 3)),
    ]
    assert len({kept, *map(digest, changed)}) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": pa.array([], pa.string()), "images": []}, "made: got no images, expected at least one"),
        ({"images": np.zeros((3, 2, 3, 3), np.uint8)}, "made: got 3 images, expected 4, one for each id"),
        ({"images": np.zeros((5, 2, 3, 3), np.uint8)}, "made: got more images than ids, expected 4, one for each id"),
        ({"images": [b""] * 4}, "made: got 4 unreadable images, the first 'photo é/0': no bytes, expected a"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_image_table(tmp_path / "t.arrow", replace(made(4), **change))


@pytest.mark.parametrize(
    ("broken", "message"),
    [([2, 3], "the split val"), ([1], "a readable training image of the class 'dog'")],
)
def test_a_split_or_a_class_that_is_emptied_is_refused(tmp_path: Path, broken: list[int], message: str) -> None:
    images = [b"" if n in broken else jpeg(n, 8, 8) for n in range(4)]
    with pytest.raises(DataError, match=message):
        write_image_table(tmp_path / "t.arrow", single(images, [0, 1, 0, 1], ["train", "train", "val", "val"]))
