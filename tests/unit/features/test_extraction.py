"""A feature has the same bytes whoever computes it: blocks are padded to one size."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from csrms_dist.encoders import Encoder, Normaliser, make_encoder
from csrms_dist.errors import DataError
from csrms_dist.features.extraction import encode_pixels, encode_range

SIZE = 16


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def parts() -> tuple[Encoder, Normaliser]:
    return make_encoder("lenet5", (32, 32, 3), 0), Normaliser([0.5] * 3, [0.25] * 3)


def test_features_are_those_of_the_encoder(parts: tuple[Encoder, Normaliser], pixels: np.ndarray) -> None:
    encoder, normalise = parts
    found = encode_pixels(encoder, normalise, pixels, SIZE)
    assert found.dtype == np.float32
    with torch.inference_mode():
        torch.testing.assert_close(torch.from_numpy(found), encoder(normalise(torch.from_numpy(pixels))))


@pytest.mark.parametrize("blocks", [[5], [1, 4], [2, 1, 2], [1, 1, 1, 1, 1]])
def test_any_slicing_at_blocks_gives_the_same_bytes(
    parts: tuple[Encoder, Normaliser], pixels: np.ndarray, blocks: list[int]
) -> None:
    whole = encode_pixels(*parts, pixels, SIZE)
    edges = SIZE * np.cumsum([0, *blocks])
    found = [encode_pixels(*parts, pixels[a:b], SIZE) for a, b in pairwise(edges)]
    assert np.concatenate(found).tobytes() == whole.tobytes()


def test_an_image_alone_has_the_bytes_that_it_has_among_others(
    parts: tuple[Encoder, Normaliser], pixels: np.ndarray
) -> None:
    whole = encode_pixels(*parts, pixels, SIZE)
    for i in range(0, len(pixels), 3):
        assert encode_pixels(*parts, pixels[i : i + 1], SIZE).tobytes() == whole[i].tobytes()
    order = np.random.default_rng(1).permutation(len(pixels))
    assert encode_pixels(*parts, pixels[order], SIZE).tobytes() == whole[order].tobytes()


def test_blank_images_are_zeros_after_normalisation(parts: tuple[Encoder, Normaliser], pixels: np.ndarray) -> None:
    encoder, normalise = parts
    blank = encode_pixels(encoder, normalise, pixels[:5], SIZE, blank=True)
    with torch.inference_mode():
        expected = encoder(torch.zeros(1, 3, 32, 32))
    torch.testing.assert_close(torch.from_numpy(blank), expected.expand(5, -1))
    grey = np.full((1, 32, 32, 3), 128, np.uint8)
    assert np.abs(blank[0] - encode_pixels(encoder, normalise, grey, SIZE)[0]).max() < 0.1


def test_no_image_gives_no_feature_of_the_right_width(parts: tuple[Encoder, Normaliser], pixels: np.ndarray) -> None:
    assert encode_pixels(*parts, pixels[:0], SIZE).shape == (0, 84)


class Broken(Encoder):
    dimension = 2

    def forward(self, images: Tensor) -> Tensor:
        return torch.log(images.flatten(1)[:, :2] - 0.5)


def test_a_feature_that_is_no_number_is_refused_by_name(digits_run: Any) -> None:
    """The corner of a digit is black: log(0 - .5)."""
    indices = digits_run.data.inputs.indices[:3]
    name = digits_run.table.ids[int(indices[0])].as_py()
    with pytest.raises(DataError, match=rf"feature of '{name}': got NaN or infinity, .*lower pretrain\.lr"):
        encode_range(Broken(), Normaliser([0.0] * 3, [1.0] * 3), digits_run.table, indices, SIZE)


def test_a_range_is_its_pixels_encoded(digits_run: Any, parts: tuple[Encoder, Normaliser]) -> None:
    indices = digits_run.data.inputs.indices[5:40]
    found = encode_range(*parts, digits_run.table, indices, SIZE)
    assert found.tobytes() == encode_pixels(*parts, digits_run.table.pixels(indices), SIZE).tobytes()
