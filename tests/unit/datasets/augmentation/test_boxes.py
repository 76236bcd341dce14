"""Boxes against plain loops of torchvision's and timm's rules, pixels against torchvision on the same box."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import functional

from csrms_dist.basics.hashing import uniform
from csrms_dist.datasets.augmentation import random_erasing
from csrms_dist.datasets.augmentation.boxes import FLIP, drawn_box
from csrms_dist.datasets.augmentation.draws import Draw, uniform_of
from csrms_dist.datasets.augmentation.feed import feed
from csrms_dist.datasets.augmentation.resized_crop import _RESIZED_CROP

VALUES = ((np.arange(256)[:, None] / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]).astype(np.float32)
SIDES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def made(n: int, height: int = 17, width: int = 23) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def numbers(purpose: int, draw: Draw, index: int) -> list[float]:
    """The numbers of an image, in order, by the hash of everything."""
    return uniform(purpose, draw.seed, draw.epoch, index, draw.view, np.arange(64)).tolist()


def box_by_loop(drawn: list[float], height: int, width: int, least: float) -> tuple[int, int, int, int]:
    """torchvision's RandomResizedCrop.get_params with our numbers in the place of its random ones."""
    for attempt in range(10):
        a, b, c, d = drawn[4 * attempt : 4 * attempt + 4]
        area = height * width * (least + (1 - least) * a)
        ratio = math.exp(math.log(3 / 4) + (math.log(4 / 3) - math.log(3 / 4)) * b)
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return math.floor(c * (height - h + 1)), math.floor(d * (width - w + 1)), h, w
    w, h = width, height
    if width / height < 3 / 4:
        h = round(w / (3 / 4))
    elif width / height > 4 / 3:
        w = round(h * (4 / 3))
    return (height - h) // 2, (width - w) // 2, h, w


@given(SIDES, st.integers(0, 2**32 - 1), st.integers(0, 99), st.integers(0, 2), st.sampled_from([0.08, 0.2]))
def test_a_box_is_that_of_the_rule_and_lies_in_the_image(
    sides: tuple[int, int], seed: int, epoch: int, view: int, least: float
) -> None:
    height, width = sides
    draw = Draw(seed, epoch, view)
    word = draw.words(_RESIZED_CROP, np.array([7]))[0]
    drawn = numbers(_RESIZED_CROP, draw, 7)
    assert [uniform_of(word, number) for number in range(64)] == drawn
    top, left, h, w = drawn_box(word, height, width, least)
    assert (top, left, h, w) == box_by_loop(drawn, height, width, least)
    assert 0 <= top <= height - h < height
    assert 0 <= left <= width - w < width


def test_images_that_no_box_of_a_legal_shape_fits_get_the_middle() -> None:
    for height, width, expected in ((2, 60, (0, 28, 2, 3)), (60, 2, (28, 0, 3, 2))):
        boxes = {drawn_box(word, height, width, 0.9) for word in Draw(0, 0).words(1, np.arange(20))}
        assert boxes == {expected}


def test_areas_and_places_are_uniform() -> None:
    words = Draw(3, 1).words(_RESIZED_CROP, np.arange(4000))
    boxes = np.array([drawn_box(word, 200, 200, 0.08) for word in words])
    shares = boxes[:, 2] * boxes[:, 3] / 200**2
    # A box that does not fit is drawn again, so that areas above 3/4 are rarer than others.
    assert 0.07 < shares.min() < 0.1 < 0.95 < shares.max()
    counts = np.histogram(shares, 3, (0.08, 0.74))[0]
    assert counts == pytest.approx([counts.mean()] * 3, rel=0.1)
    shapes = boxes[:, 3] / boxes[:, 2]
    assert 0.73 < shapes.min() < 0.77 < 1.3 < shapes.max() < 1.36
    assert abs(np.log(shapes).mean()) < 0.02
    assert abs((boxes[:, 0] / (200 - boxes[:, 2] + 1)).mean() - 0.5) < 0.02
    assert abs((boxes[:, 1] / (200 - boxes[:, 3] + 1)).mean() - 0.5) < 0.02


@given(SIDES, st.integers(0, 2**32 - 1))
def test_pixels_are_torchvisions_of_the_same_box(sides: tuple[int, int], seed: int) -> None:
    height, width = sides
    images, indices, draw = made(3, height, width), np.arange(50, 53), Draw(seed, 2)
    got = feed("resized_crop", images, indices, draw, VALUES)
    assert got.transpose(0, 2, 3, 1).flags.c_contiguous
    for place, index in enumerate(indices):
        drawn = numbers(_RESIZED_CROP, draw, int(index))
        top, left, h, w = box_by_loop(drawn, height, width, 0.08)
        image = torch.from_numpy(images[place]).permute(2, 0, 1) / 255
        # Enlarging needs no smoothing before; torch's answers with it are wrong for images one pixel wide.
        expected = functional.resized_crop(image, top, left, h, w, [height, width], antialias=min(sides) > 1)
        if drawn[FLIP] < 0.5:
            expected = functional.hflip(expected)
        expected = functional.normalize(expected, [0.5, 0.4, 0.3], [0.2, 0.3, 0.4])
        np.testing.assert_allclose(got[place], expected.numpy(), atol=2e-5)


def erased_by_loop(drawn: list[float], height: int, width: int) -> tuple[int, int, int, int]:
    """timm's RandomErasing of one box with our numbers in the place of its random ones; nothing where no box fits."""
    for attempt in range(10):
        a, b, c, d = drawn[4 * attempt + 1 : 4 * attempt + 5]
        area = height * width * (0.02 + (1 / 3 - 0.02) * a)
        ratio = math.exp(math.log(0.3) + (math.log(1 / 0.3) - math.log(0.3)) * b)
        h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if w < width and h < height:
            return math.floor(c * (height - h + 1)), math.floor(d * (width - w + 1)), h, w
    return 0, 0, 0, 0


@given(SIDES, st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 1.0]))
def test_what_is_erased_is_the_box_of_the_rule(sides: tuple[int, int], seed: int, probability: float) -> None:
    height, width = sides
    images, indices, draw = made(4, height, width), np.arange(4), Draw(seed, 1)
    expected = feed("none", images, indices, draw, VALUES).copy()
    for index in range(4):
        drawn = numbers(random_erasing._ERASED, draw, index)
        if drawn[0] < probability:
            top, left, h, w = erased_by_loop(drawn, height, width)
            expected[index, :, top : top + h, left : left + w] = 0
    assert np.array_equal(feed("none", images, indices, draw, VALUES, probability), expected)


def test_erased_areas_and_shapes_are_within_bounds() -> None:
    n, side = 400, 60
    images = np.full((n, side, side, 3), 255, np.uint8)
    got = feed("none", images, np.arange(n), Draw(5, 0), VALUES, 1.0)
    holes = (got == 0).all(axis=1)
    areas, heights, widths = holes.sum((1, 2)), holes.any(2).sum(1), holes.any(1).sum(1)
    assert np.array_equal(areas, heights * widths)  # one box each
    shares = areas / side**2
    assert 0.015 < shares.min() < 0.04 < 0.3 < shares.max() < 0.345
    assert 0.28 < (heights / widths).min() < 0.4
    assert 2.5 < (heights / widths).max() < 3.6
    some = feed("none", images, np.arange(n), Draw(5, 0), VALUES, 0.25)
    assert abs((some == 0).all(axis=1).any((1, 2)).mean() - 0.25) < 0.07


@pytest.mark.parametrize("kind", ["crop_flip", "resized_crop", "contrastive"])
def test_a_draw_is_of_seed_epoch_view_and_image_alone(kind: str) -> None:
    images, indices = made(12), np.arange(100, 112)

    def of(draw: Draw, rows: np.ndarray) -> np.ndarray:
        return feed(kind, images[rows], indices[rows], draw, VALUES, 0.5)

    whole = of(Draw(7, 2, 1), np.arange(12))
    order = np.random.default_rng(1).permutation(12)
    assert np.array_equal(of(Draw(7, 2, 1), order), whole[order])
    for row in range(12):
        assert np.array_equal(of(Draw(7, 2, 1), np.array([row]))[0], whole[row])
    for other in (Draw(8, 2, 1), Draw(7, 3, 1), Draw(7, 2, 0), Draw(7, 2, 2)):
        assert (of(other, np.arange(12)) != whole).any((1, 2, 3)).all()
