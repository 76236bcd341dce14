"""Encoded images -> (H, W, 3) uint8, or the reason why not. One decoder for tables, predictions and everything else.

Pillow reads the file: alpha is dropped, a palette, CMYK and 16-bit grey become 8-bit RGB, EXIF is left alone (nothing
is turned), of an animation the first frame is taken. Sizes change by bilinear interpolation with antialiasing.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TypeAlias, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from csrms_dist.basics.arrays import U8

Shape: TypeAlias = tuple[int, int, int]

T = TypeVar("T")
R = TypeVar("R")

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
MAX_THREADS = 4

_BOMBS = ("error", None, Image.DecompressionBombWarning, None, 0)
_filters = Lock()


@dataclass(frozen=True)
class Unreadable:
    """Why an image could not be read."""

    reason: str


Stored: TypeAlias = bytes | Path | U8 | Unreadable | None
"""An image as a layout holds it: encoded bytes, a file of them, or pixels (H, W, 3). None: there is nothing."""


def load(stored: Stored) -> bytes | U8 | Unreadable:
    """The bytes of a file; anything else as it is."""
    if isinstance(stored, Unreadable):
        return stored
    if isinstance(stored, Path):
        try:
            if not stat.S_ISREG(stored.stat().st_mode):  # reading a pipe would wait for its writer
                return Unreadable("no regular file")
            stored = stored.read_bytes()
        except OSError as error:
            return Unreadable((error.strerror or type(error).__name__).lower())
        except ValueError:  # a null character
            return Unreadable("a path that no file can have")
    return stored if stored is not None and len(stored) else Unreadable("no bytes")


def stored_size(stored: Stored) -> int:
    """Bytes that an image takes when it is loaded; 0 for what is not there."""
    if isinstance(stored, Path):
        try:
            return stored.stat().st_size
        except (OSError, ValueError):
            return 0
    if stored is None or isinstance(stored, Unreadable):
        return 0
    return len(stored) if isinstance(stored, bytes) else stored.nbytes


def decode(stored: Stored, shape: Shape | None = None) -> U8 | Unreadable:
    """An image -> (H, W, 3) uint8, at `shape` if one is given."""
    content = load(stored)
    if isinstance(content, Unreadable):
        return content
    _refuse_bombs()
    try:
        if isinstance(content, np.ndarray):
            return content if shape in (None, content.shape) else _pixels(Image.fromarray(content), shape)
        with Image.open(io.BytesIO(content)) as image:
            return _pixels(_eight_bits(image), shape)
    except UnidentifiedImageError:
        return Unreadable("not an image in a known format")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Unreadable(f"more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels")
    except MemoryError:
        raise
    except Exception as error:  # a decoder that is fed with garbage raises whatever it meets first
        return Unreadable(" ".join(str(error).split()) or type(error).__name__)


def encode_png(pixels: U8) -> bytes:
    """(H, W, 3) uint8 -> PNG, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _refuse_bombs() -> None:
    """Pillow only warns about a header that claims 90 to 180 million pixels; such an image is refused like a larger."""
    if _BOMBS not in warnings.filters:
        with _filters:  # one thread adds it: adding it again would take it away for a moment
            if _BOMBS not in warnings.filters:
                warnings.simplefilter("error", Image.DecompressionBombWarning)


def _pixels(image: Image.Image, shape: Shape | None) -> U8:
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, Pillow warns
    rgb = image.convert("RGB")
    if shape is not None and rgb.size != (shape[1], shape[0]):
        rgb = rgb.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(rgb, np.uint8)


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey scaled to 8 bits: Pillow's own conversion would clip it. Raises ValueError for other wide modes."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("pixels of 32 bits, expected 8 or 16")
        return Image.fromarray((values // 257).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels, expected 8 or 16 bits")
    return image


_pools: dict[int, ThreadPoolExecutor] = {}


def in_threads(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`function` of every item, in order; a share of the items for each of a few threads (Pillow releases the GIL)."""
    threads = min(MAX_THREADS, os.cpu_count() or 1, len(items))
    if threads < 2:
        return [function(item) for item in items]
    process = os.getpid()  # threads do not survive a fork
    if process not in _pools:
        _pools.clear()
        _pools[process] = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="decode")
    step = -(-len(items) // threads)
    parts = [items[start : start + step] for start in range(0, len(items), step)]
    return [result for part in _pools[process].map(partial(_each, function), parts) for result in part]


def _each(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    return [function(item) for item in items]
