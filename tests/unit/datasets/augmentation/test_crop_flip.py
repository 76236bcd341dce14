"""Crop and flip against loops and against fancy indexing; the draw of an image is its own; feeding is both steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.basics.hashing import mix, permutation
from csrms_dist.datasets.augmentation.crop_flip import _CROP_FLIP, AUGMENTATION, PADDING
from csrms_dist.datasets.augmentation.draws import Draw
from csrms_dist.datasets.augmentation.feed import byte_values, feed
from csrms_dist.encoders import Normaliser, images_to_tensor

EVERY_BYTE = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)


def augment(images: np.ndarray, indices: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """The bytes of crop and flip."""
    out = np.empty_like(images)
    drawn = AUGMENTATION.drawn(images.shape, indices, Draw(seed, epoch))
    AUGMENTATION.on_host(np.ascontiguousarray(images), drawn, EVERY_BYTE, out)
    return out


def made(n: int, height: int = 9, width: int = 13) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def reflected(i: int, size: int) -> int:
    """Where row i of the padded image comes from: a b c | d c b."""
    i -= PADDING
    i = abs(i)
    return 2 * (size - 1) - i if i >= size else i


def crop(image: np.ndarray, top: int, left: int, flip: bool) -> np.ndarray:
    height, width = image.shape[:2]
    out = np.empty_like(image)
    for y in range(height):
        for x in range(width):
            across = width - 1 - x if flip else x
            out[y, x] = image[reflected(top + y, height), reflected(left + across, width)]
    return out


def draw_of(image: np.ndarray, result: np.ndarray) -> tuple[int, int, bool]:
    """The one crop and flip that gives `result`, found by trying them all."""
    found = [
        (top, left, flip)
        for top in range(2 * PADDING + 1)
        for left in range(2 * PADDING + 1)
        for flip in (False, True)
        if np.array_equal(crop(image, top, left, flip), result)
    ]
    assert len(found) == 1
    return found[0]


def drawn(index: int, seed: int, epoch: int) -> tuple[int, int, bool]:
    """The draw of an image, from its hash."""
    draw = int(mix(_CROP_FLIP, seed, epoch, np.array([index]))[0])
    places = 2 * PADDING + 1
    return draw % places, draw // places % places, bool(draw >> 63)


def by_fancy_indexing(images: np.ndarray, indices: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Whole batches without a loop: pad, then gather."""
    top, left, flip = map(np.array, zip(*(drawn(i, seed, epoch) for i in indices), strict=True))
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0)), mode="reflect")
    rows = top[:, None] + np.arange(height)
    columns = left[:, None] + np.arange(width)
    columns = np.where(flip[:, None], columns[:, ::-1], columns)
    return padded[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 20), st.integers(1, 20)),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 1000),
    first=st.integers(0, 10**9),
)
def test_the_kernel_has_the_bytes_of_loops_and_of_indexing(
    shape: tuple[int, int, int], seed: int, epoch: int, first: int
) -> None:
    n, height, width = shape
    images, indices = made(n, height, width), np.arange(first, first + n)
    got = augment(images, indices, seed, epoch)
    assert np.array_equal(got, by_fancy_indexing(images, indices, seed, epoch))
    if min(height, width) > PADDING:  # smaller images are reflected more than once
        for b in range(n):
            assert np.array_equal(got[b], crop(images[b], *drawn(int(indices[b]), seed, epoch)))


@pytest.mark.parametrize("kind", ["none", "crop_flip"])
def test_feeding_has_the_bits_and_the_memory_order_of_augmenting_then_normalising(kind: str) -> None:
    images, indices = made(7), np.arange(50, 57)
    normalise = Normaliser([0.49, 0.48, 0.44], [0.2, 0.19, 0.21])
    expected = normalise(images_to_tensor(images if kind == "none" else augment(images, indices, 3, 4)))
    got = torch.from_numpy(feed(kind, images, indices, Draw(3, 4), byte_values(normalise)))
    assert torch.equal(got, expected)
    assert got.stride() == expected.stride()
    assert feed(kind, images[:0], indices[:0], Draw(3, 4), byte_values(normalise)).shape == (0, 3, 9, 13)


def test_the_value_of_a_byte_is_the_formula() -> None:
    values = byte_values(Normaliser([0.5, 0.25, 0.1], [0.5, 0.2, 0.3]))
    for byte in range(256):
        for channel, (mean, std) in enumerate(((0.5, 0.5), (0.25, 0.2), (0.1, 0.3))):
            assert values[byte, channel] == pytest.approx((byte / 255 - mean) / std, abs=2e-6)


def test_views_and_mapped_images_are_fine() -> None:
    images, indices = made(6), np.arange(6)
    images.flags.writeable = False
    whole = augment(images, indices, 0, 0)
    assert np.array_equal(augment(images[::2], indices[::2], 0, 0), whole[::2])


def test_every_image_is_a_crop_of_its_padded_self_maybe_flipped() -> None:
    images = made(12)
    before = images.copy()
    results = augment(images, np.arange(12), 0, 3)
    draws = [draw_of(image, result) for image, result in zip(images, results, strict=True)]
    assert len(set(draws)) > 8
    assert results.dtype == np.uint8
    assert np.array_equal(images, before)


def test_all_places_are_drawn_and_half_are_flipped() -> None:
    """A picture of its own coordinates tells where its crop begins."""
    n, side = 4000, 12
    image = np.zeros((side, side, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(side)[:, None], np.arange(side)
    results = augment(np.broadcast_to(image, (n, *image.shape)), np.arange(n), 1, 1)
    middle = results[:, 5, 5].astype(int)  # away from the reflection for every crop but the outermost
    flipped = results[:, 5, 6, 1] < results[:, 5, 5, 1]
    assert 0.45 < flipped.mean() < 0.55
    tops = np.unique(middle[:, 0], return_counts=True)[1]
    assert len(tops) == 2 * PADDING + 1
    assert tops.min() > 0.7 * n / len(tops)


def test_the_draw_is_of_seed_epoch_and_image_alone() -> None:
    images, indices = made(20), np.arange(100, 120)
    whole = augment(images, indices, 7, 2)
    order = np.random.default_rng(1).permutation(20)
    assert np.array_equal(augment(images[order], indices[order], 7, 2), whole[order])
    for i in range(20):
        assert np.array_equal(augment(images[i : i + 1], indices[i : i + 1], 7, 2)[0], whole[i])
    assert not np.array_equal(augment(images, indices, 7, 3), whole)
    assert not np.array_equal(augment(images, indices, 8, 2), whole)
    assert not np.array_equal(augment(images, indices + 20, 7, 2), whole)


@pytest.mark.parametrize("epoch", [0, 1])
def test_early_and_late_batches_of_an_epoch_are_flipped_alike(epoch: int) -> None:
    """The order of an epoch is a hash of (seed, epoch, row) too: the draws must not follow it."""
    n = 2000
    image = np.arange(5 * 9 * 3, dtype=np.uint8).reshape(5, 9, 3)
    order = permutation(n, 3, epoch)
    results = augment(np.broadcast_to(image, (n, *image.shape)), order, 3, epoch)
    flipped = results[:, 2, 4, 0] > results[:, 2, 5, 0]
    assert abs(flipped[: n // 2].mean() - flipped[n // 2 :].mean()) < 0.1
