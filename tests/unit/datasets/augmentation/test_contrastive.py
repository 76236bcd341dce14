"""The colours of views against torchvision's functions on the same factors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import functional

from csrms_dist.datasets.augmentation import colours, contrastive
from csrms_dist.datasets.augmentation.boxes import FLIP, FREE, drawn_box
from csrms_dist.datasets.augmentation.draws import Draw, uniform_of
from csrms_dist.datasets.augmentation.feed import feed

VALUES = ((np.arange(256)[:, None] / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]).astype(np.float32)
CHANGES = {
    "brightened": functional.adjust_brightness,
    "contrasted": functional.adjust_contrast,
    "saturated": functional.adjust_saturation,
    "turned": functional.adjust_hue,
}


def made(n: int, height: int = 9, width: int = 13) -> np.ndarray:
    images = np.random.default_rng(0).integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    images[:, 0] = images[:, 0, :, :1]  # grey pixels, which have no hue
    images[:, 1, :, 1] = images[:, 1, :, 0]  # two channels that are equal
    images[:, 2] = 0
    return images


@pytest.mark.parametrize("change", CHANGES)
@given(number=st.floats(-1, 1, width=32), seed=st.integers(0, 99))
def test_a_change_is_torchvisions(change: str, number: float, seed: int) -> None:
    pixels = made(1).reshape(-1, 3).astype(np.float32) / np.float32(255)
    np.random.default_rng(seed).shuffle(pixels)
    factor = 0.5 * number if change == "turned" else 1 + number
    image = torch.from_numpy(pixels.copy()).T.reshape(3, 9, 13)
    getattr(colours, change)(pixels, np.float32(factor))
    expected = CHANGES[change](image, factor).reshape(3, -1).T
    np.testing.assert_allclose(pixels, expected.numpy(), atol=3e-6)


def test_grey_is_torchvisions() -> None:
    pixels = made(1).reshape(-1, 3).astype(np.float32) / np.float32(255)
    expected = functional.rgb_to_grayscale(torch.from_numpy(pixels.copy()).T.reshape(3, 9, 13), 3).reshape(3, -1).T
    colours.greyed(pixels)
    np.testing.assert_allclose(pixels, expected.numpy(), atol=1e-6)


def view_by_loop(image: np.ndarray, word: np.uint64) -> torch.Tensor:
    """A view of one image by torchvision, step by step, with our numbers."""
    height, width = image.shape[:2]
    found = torch.from_numpy(image).permute(2, 0, 1) / 255
    top, left, h, w = drawn_box(word, height, width, 0.2)
    found = functional.resized_crop(found, top, left, h, w, [height, width], antialias=True)
    if uniform_of(word, FLIP) < 0.5:
        found = functional.hflip(found)
    if uniform_of(word, FREE + 7) < 0.8:
        left_over, order = list(CHANGES), []
        for k in range(3):
            place = int(uniform_of(word, FREE + k) * (4 - k))
            order.append(left_over[place])
            left_over[place] = left_over[0]
            del left_over[0]
        for change in (*order, *left_over):
            number = 2 * uniform_of(word, FREE + 3 + list(CHANGES).index(change)) - 1
            found = CHANGES[change](found, 0.1 * number if change == "turned" else 1 + 0.4 * number)
    if uniform_of(word, FREE + 8) < 0.2:
        found = functional.rgb_to_grayscale(found, 3)
    return functional.normalize(found, [0.5, 0.4, 0.3], [0.2, 0.3, 0.4])


def test_a_view_is_torchvisions_steps_with_the_same_numbers() -> None:
    images, indices, draw = made(60), np.arange(60), Draw(3, 4, 1)
    got = feed("contrastive", images, indices, draw, VALUES)
    for place, word in enumerate(draw.words(contrastive._CONTRASTIVE, indices)):
        np.testing.assert_allclose(got[place], view_by_loop(images[place], word).numpy(), atol=5e-5)


def test_a_fifth_is_grey_a_fifth_keeps_its_colours_and_orders_are_even() -> None:
    n = 3000
    red = np.zeros((n, 2, 2, 3), np.uint8)
    red[..., 0] = 200
    got = feed("contrastive", red, np.arange(n), Draw(0, 0), np.arange(256, dtype=np.float32)[:, None].repeat(3, 1))
    pixels = got[:, :, 0, 0]
    grey = np.ptp(pixels, axis=1) < 1e-3
    assert abs(grey.mean() - 0.2) < 0.03
    kept = np.abs(pixels - [200, 0, 0]).max(axis=1) < 1e-3
    assert abs(kept.mean() - 0.2 * 0.8) < 0.03
