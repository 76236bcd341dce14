"""Whatever Pillow can read becomes (H, W, 3) uint8; whatever it cannot becomes a reason, never an exception."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from csrms_dist.datasets.decoding import Unreadable, decode, encode_png, in_threads, stored_size

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG file whose header promises more than follows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_pixels_come_back_without_loss() -> None:
    assert np.array_equal(decode(encode_png(RGB)), RGB)
    assert decode(RGB) is RGB


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    data = encoded(image, "TIFF" if mode in ("CMYK", "YCbCr") else "PNG")
    found = decode(data)
    assert isinstance(found, np.ndarray)
    assert (found.shape, found.dtype) == ((6, 5, 3), np.uint8)
    if mode == "LA":
        assert np.array_equal(found, np.asarray(image.convert("L"))[..., None].repeat(3, axis=2))
    if mode in ("CMYK", "YCbCr"):
        assert np.abs(found.astype(int) - RGB).max() <= 4


def test_alpha_is_dropped() -> None:
    alpha = RNG.integers(0, 256, (6, 5, 1), dtype=np.uint8)
    assert np.array_equal(decode(encoded(Image.fromarray(np.concatenate([RGB, alpha], axis=2)))), RGB)


def test_a_palette_with_transparent_entries() -> None:
    image = Image.fromarray(RGB).quantize(8)
    data = encoded(image, transparency=bytes([0, 128, 255]))
    assert np.array_equal(decode(data), np.asarray(image.convert("RGB")))


def test_sixteen_bit_grey_is_scaled() -> None:
    grey = np.array([[0, 257, 32896], [65535, 300, 65000]], np.uint16)
    found = decode(encoded(Image.fromarray(grey)))
    assert np.array_equal(found, (grey // 257).astype(np.uint8)[..., None].repeat(3, axis=2))


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.fromarray(np.full((4, 4, 3), value, np.uint8)) for value in (10, 200)]
    found = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert np.array_equal(found, np.full((4, 4, 3), 10, np.uint8))


def test_exif_turns_nothing() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees"
    assert np.array_equal(decode(encoded(Image.fromarray(RGB), exif=exif)), RGB)


def test_the_size_changes_with_antialiasing() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::2] = 200
    found = decode(encode_png(stripes), (8, 16, 3))
    assert isinstance(found, np.ndarray)
    assert found.shape == (8, 16, 3)
    assert np.abs(found[2:-2].astype(int) - 100).max() <= 8
    assert np.array_equal(decode(stripes, (8, 16, 3)), found)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "no bytes"),
        (b"", "no bytes"),
        (b"hello", "not an image in a known format"),
        (encode_png(RGB)[:8], "not an image in a known format"),
        (encoded(Image.fromarray(RGB.repeat(40, axis=0)), "JPEG")[:-40], "image file is truncated"),
        (png_that_claims(10_000, 10_000), "more than 89,478,485 pixels"),
        (png_that_claims(30_000, 30_000), "more than 89,478,485 pixels"),
        (png_that_claims(8, 8), ""),
        (encoded(Image.fromarray(np.ones((3, 3), np.float32)), "TIFF"), "floating-point pixels, expected 8 or 16 bits"),
        (encoded(Image.fromarray(np.full((3, 3), 1 << 20, np.int32)), "TIFF"), "pixels of 32 bits, expected 8 or 16"),
    ],
)
def test_what_cannot_be_read_has_a_reason(data: bytes | None, reason: str) -> None:
    found = decode(data)
    assert isinstance(found, Unreadable)
    assert found.reason.startswith(reason)
    assert found.reason


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert decode(tmp_path / "a.png") == Unreadable("no such file or directory")
    assert decode(tmp_path) == Unreadable("no regular file")
    assert decode(tmp_path / "a\0.png") == Unreadable("a path that no file can have")
    assert decode(tmp_path / ("a" * 300)) == Unreadable("file name too long")
    assert stored_size(tmp_path / "a\0.png") == stored_size(tmp_path / ("a" * 300)) == 0
    os.mkfifo(tmp_path / "pipe.png")
    assert decode(tmp_path / "pipe.png") == Unreadable("no regular file")


@given(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]), st.data())
def test_damage_is_never_an_exception(kind: str, data: st.DataObject) -> None:
    content = bytearray(encoded(Image.fromarray(RGB), kind))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    found = decode(bytes(content[:cut]), (4, 4, 3))
    assert isinstance(found, Unreadable) or found.shape == (4, 4, 3)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 17])
def test_threads_keep_the_order(n: int) -> None:
    assert in_threads(lambda number: number * number, list(range(n))) == [number * number for number in range(n)]


def test_bombs_are_refused_from_the_first_image_on_not_from_the_import_on() -> None:
    code = """
import warnings
from PIL import Image
from csrms_dist.datasets.decoding import decode
assert all(kept[2] is not Image.DecompressionBombWarning for kept in warnings.filters)
decode(b"no image")
assert warnings.filters[0][:3:2] == ("error", Image.DecompressionBombWarning)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
