"""What a device is fed is what the host's loops give, without waiting for it and without large temporaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from csrms_dist.datasets.augmentation import AUGMENTATIONS, colours
from csrms_dist.datasets.augmentation.draws import Draw
from csrms_dist.datasets.augmentation.feed import device_feed, feed
from csrms_dist.datasets.augmentation.on_device import colours as on_device
from tests.unit.training.waiting import NothingWaits

LINEAR = ((np.arange(256)[:, None] / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]).astype(np.float32)
ANY = np.random.default_rng(1).normal(size=(256, 3)).astype(np.float32)
KINDS = {kind: ANY if kind in ("none", "crop_flip") else LINEAR for kind in AUGMENTATIONS}
"""With the values of the bytes that suit them."""
IN_ANOTHER_ORDER = {"contrastive": 1e-5, "contrasted": 2e-7}
"""What sums over an image gives nearly the same; all else gives the same bits."""


def made(n: int, height: int, width: int) -> np.ndarray:
    images = np.random.default_rng(n).integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    images[:, : height // 3] = images[:, : height // 3, :, :1]  # grey pixels, which have no hue
    images[:, : height // 4] = 255  # white ones, which change when they grow darker alone
    images[:, -1, :, 1] = images[:, -1, :, 0]  # two channels that are equal
    return images


def same(got: torch.Tensor, expected: np.ndarray, name: str) -> None:
    if name in IN_ANOTHER_ORDER:
        np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=IN_ANOTHER_ORDER[name])
    else:
        assert np.array_equal(got.numpy(), expected)


@pytest.mark.parametrize("kind", KINDS)
@given(
    shape=st.tuples(st.integers(0, 5), st.integers(1, 20), st.integers(1, 20)),
    draw=st.builds(Draw, st.integers(0, 2**32 - 1), st.integers(0, 99), st.integers(0, 1)),
    first=st.integers(0, 10**9),
    erasing=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_a_device_is_fed_what_the_host_gives(
    kind: str, shape: tuple[int, int, int], draw: Draw, first: int, erasing: float
) -> None:
    images, indices, values = made(*shape), np.arange(first, first + shape[0]), KINDS[kind]
    expected = feed(kind, images, indices, draw, values, erasing)
    before = images.copy()
    with NothingWaits():
        got = device_feed(kind, torch.from_numpy(images), indices, draw, torch.from_numpy(values), erasing)
    assert np.array_equal(images, before)
    assert got.dtype == torch.float32
    assert got.shape == expected.shape
    assert got.stride() == torch.empty(expected.shape, memory_format=torch.channels_last).stride()
    same(got, expected, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("view", [0, 1])
def test_a_batch_with_all_draws_a_single_image_and_no_image(kind: str, view: int) -> None:
    """Enough images for every order of colours, every corner and both flips."""
    images, indices, values, draw = made(150, 13, 9), np.arange(150) * 7, KINDS[kind], Draw(5, 2, view)
    expected = feed(kind, images, indices, draw, values, 0.5)
    for some in (slice(None), slice(3, 4), slice(4, 5), slice(0), slice(None, None, 2)):
        given = torch.from_numpy(images)[some]
        got = device_feed(kind, given, indices[some], draw, torch.from_numpy(values), 0.5)
        same(got, expected[some], kind)


def test_both_ways_have_empty_batches_of_every_kind() -> None:
    for kind, values in KINDS.items():
        assert feed(kind, made(0, 9, 13), np.arange(0), Draw(0, 0), values, 0.5).shape == (0, 3, 9, 13)


@pytest.mark.parametrize("change", ["brightened", "contrasted", "saturated", "turned", "greyed"])
@given(numbers=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=4))
def test_a_change_of_colour_is_that_of_the_host(change: str, numbers: list[float]) -> None:
    pixels = made(len(numbers), 9, 13).astype(np.float32) / np.float32(255)
    factors = np.array([0.5 * number if change == "turned" else 1 + number for number in numbers], np.float32)
    arguments = [] if change == "greyed" else [factors]
    got = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    getattr(on_device, change)(got, *map(torch.from_numpy, arguments))
    for image, *number in zip(pixels.reshape(len(pixels), -1, 3), *arguments, strict=True):
        getattr(colours, change)(image, *number)
    same(got, pixels.transpose(0, 3, 1, 2), change)


@pytest.mark.parametrize("kind", KINDS)
def test_images_of_a_device_never_meet_tensors_of_the_host(kind: str) -> None:
    """A meta tensor has no values to read, and refuses those of another device."""
    images, values = torch.empty((6, 9, 13, 3), dtype=torch.uint8, device="meta"), torch.empty((256, 3), device="meta")
    got = device_feed(kind, images, np.arange(6), Draw(0, 0), values, 0.5)
    assert got.device == images.device
    assert got.shape == (6, 3, 9, 13)
    assert got.is_contiguous(memory_format=torch.channels_last)


class Sizes(TorchDispatchMode):
    """The largest tensor in bytes that an operation gave within this block."""

    largest = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        given = function(*arguments, **(keywords or {}))
        tensors = [some for some in tree_leaves(given) if isinstance(some, torch.Tensor)]
        self.largest = max(self.largest, *(some.untyped_storage().nbytes() for some in tensors), 0)
        return given


@pytest.mark.parametrize("kind", KINDS)
def test_no_temporary_is_larger_than_the_result(kind: str) -> None:
    images = torch.from_numpy(made(8, 20, 24))
    with Sizes() as sizes:
        got = device_feed(kind, images, np.arange(8), Draw(0, 0), torch.from_numpy(KINDS[kind]), 0.5)
    assert sizes.largest == got.nbytes


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_cuda_gives_what_the_host_gives(kind: str) -> None:
    images, indices, values, draw = made(150, 13, 9), np.arange(150), KINDS[kind], Draw(5, 2, 1)
    on_cuda = torch.from_numpy(images).cuda(), torch.from_numpy(values).cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        got = device_feed(kind, on_cuda[0], indices, draw, on_cuda[1], 0.5)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    same(got.cpu(), feed(kind, images, indices, draw, values, 0.5), kind)
