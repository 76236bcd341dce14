"""An image table comes back as it was written, however many record batches it has; or is refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from csrms_dist.datasets import ImageTable
from csrms_dist.datasets.image_table import ROWS_PER_BATCH, ImageSource, write_image_table
from csrms_dist.errors import DataError
from csrms_dist.labels import LabelSpace, label_lists

SPACE = LabelSpace(("cat", "élan", "dog"), multi_label=True)


def made(n: int, shape: tuple[int, int, int] = (2, 3, 3)) -> ImageSource:
    rng = np.random.default_rng(n)
    labels = [sorted(rng.choice(3, size=rng.integers(0, 3), replace=False).tolist()) for _ in range(n)]
    return ImageSource(
        "made",
        SPACE,
        [f"photo é/{i}" for i in range(n)],
        SPACE.membership(labels),
        [("train", "val", "test")[i % 3] for i in range(n)],
        rng.integers(0, 256, (n, *shape), dtype=np.uint8),
        shape,
    )


@pytest.mark.parametrize("n", [1, ROWS_PER_BATCH, 2 * ROWS_PER_BATCH + 5])
def test_a_table_comes_back_as_it_was_written(tmp_path: Path, n: int) -> None:
    source = made(n)
    images = np.asarray(source.images)
    digest = write_image_table(tmp_path / "t.arrow", replace(source, images=iter(images)))
    table = ImageTable(tmp_path / "t.arrow")
    assert (len(table), table.name, table.shape, table.content_hash) == (n, "made", source.shape, digest)
    assert table.label_space == SPACE
    assert table.ids.to_pylist() == source.ids
    assert label_lists(table.membership) == label_lists(source.membership)
    assert table.membership.shape == (n, 3)
    for number, split in enumerate(("train", "val", "test")):
        assert table.indices(split).tolist() == list(range(number, n, 3))
    assert np.array_equal(table.pixels(np.arange(n)), images)
    some = np.array([n - 1, 0, n // 2, 0, min(ROWS_PER_BATCH, n - 1), min(ROWS_PER_BATCH - 1, n - 1)])
    assert np.array_equal(table.pixels(some), images[some])
    assert table.pixels(some[:0]).shape == (0, *source.shape)


def test_pixels_are_a_copy(tmp_path: Path) -> None:
    write_image_table(tmp_path / "t.arrow", made(4))
    table = ImageTable(tmp_path / "t.arrow")
    first = table.pixels(np.array([0]))
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(table.pixels(np.array([0])), kept)


def test_channel_statistics_are_those_of_the_split(tmp_path: Path) -> None:
    source = made(3 * ROWS_PER_BATCH + 7)
    write_image_table(tmp_path / "t.arrow", source)
    table = ImageTable(tmp_path / "t.arrow")
    for split in ("train", "val"):
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
    digest = write_image_table(tmp_path / "a.arrow", source)
    assert write_image_table(tmp_path / "b.arrow", replace(source, name="other", images=list(images))) == digest
    other = images.copy()
    other[5, 0, 0, 0] ^= 1
    changed = [
        replace(source, images=other),
        replace(source, ids=[*source.ids[:5], "x"]),
        replace(source, split=["test", *source.split[1:]]),
        replace(source, membership=SPACE.membership([[0, 1, 2]] * 6)),
    ]
    digests = [write_image_table(tmp_path / "c.arrow", some) for some in changed]
    assert len({digest, *digests}) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": [], "images": []}, "made: got no images, expected at least one"),
        ({"ids": ["a", "b", "a", "c"]}, "made: got the id 'a' twice, expected every id once"),
        ({"images": np.zeros((3, 2, 3, 3), np.uint8)}, "made: got 3 images, expected 4, one for each id"),
        ({"images": np.zeros((5, 2, 3, 3), np.uint8)}, "made: got more images than ids, expected 4, one for each id"),
        (
            {"images": np.zeros((4, 2, 2, 3), np.uint8)},
            r"made, image 'photo é/0': got the shape \(2, 2, 3\), expected \(2",
        ),
        (
            {"images": [np.zeros((2, 3, 3), np.uint8), np.zeros((9, 9, 3), np.uint8)]},
            r"made, image 'photo é/1': got the shape \(9, 9, 3\)",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_image_table(tmp_path / "t.arrow", replace(made(4), **change))
    assert list(tmp_path.iterdir()) == []
