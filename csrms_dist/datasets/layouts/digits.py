"""The handwritten digits that ship inside scikit-learn (UCI optical recognition, 1,797 grey images of 8 x 8).

Each pixel becomes 4 x 4 pixels of three equal channels: 32 x 32 x 3. A share of each class
(`data.test_fraction`), by a hash of the id, is the test set; scikit-learn ships no split of its own.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from csrms_dist.basics.arrays import I64, U8
from csrms_dist.datasets.image_source import ImageSource
from csrms_dist.datasets.layouts.layout_format import ALL, Found, LayoutFormat, Rows
from csrms_dist.datasets.rules import assemble
from csrms_dist.datasets.settings import DataSettings

CLASS_NAMES = tuple(str(k) for k in range(10))


def grey_digits() -> tuple[U8, I64]:
    """All digits, 0..255: (N, 8, 8), and their classes (N,)."""
    # Takes a second, which commands that need no digits should not pay.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.rint(bunch.images * (255 / 16)).astype(np.uint8), bunch.target.astype(np.int64)


def enlarged(grey: U8, factor: int) -> U8:
    """(N, h, w) -> (N, factor h, factor w, 3), every pixel a square."""
    return np.repeat(np.repeat(grey, factor, axis=1), factor, axis=2)[..., None].repeat(3, axis=3)


def digits(val_fraction: float) -> tuple[ImageSource, ImageSource]:
    """The training source (splits train and val) and the test source."""
    settings = DataSettings(val_fraction=val_fraction)
    layout = assemble(find(settings), settings)
    return layout.train, layout.test


def find(settings: DataSettings) -> Found:
    """All digits, to be divided by hash."""
    grey, target = grey_digits()
    ids = pa.array([f"digit-{n:04d}" for n in range(len(target))], pa.string())
    rows = Rows(ids, np.arange(len(target) + 1), target, lambda rows: iter(enlarged(grey[rows], 4)))
    return Found("digits", {ALL: rows}, names=dict(enumerate(CLASS_NAMES)), n_classes=len(CLASS_NAMES))


LAYOUT = LayoutFormat(find)
