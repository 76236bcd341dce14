"""The handwritten digits that ship inside scikit-learn (UCI optical recognition, 1,797 grey images of 8 x 8).

Each pixel becomes 4 x 4 pixels of three equal channels: 32 x 32 x 3. A fifth of each class (or
`data.test_fraction`), by a hash of the id, is the test set; scikit-learn ships no split of its own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

from csrms_dist.datasets.image_source import ImageSource, in_memory
from csrms_dist.datasets.splits import held_out
from csrms_dist.labels import LabelSpace

U8 = npt.NDArray[np.uint8]
TEST_FRACTION = 0.2
CLASS_NAMES = tuple(str(k) for k in range(10))


def grey_digits() -> tuple[U8, npt.NDArray[np.int64]]:
    """All digits, 0..255: (N, 8, 8), and their classes (N,)."""
    bunch = load_digits()
    return np.rint(bunch.images * (255 / 16)).astype(np.uint8), bunch.target.astype(np.int64)


def enlarged(grey: U8, factor: int) -> U8:
    """(N, h, w) -> (N, factor h, factor w, 3), every pixel a square."""
    return np.repeat(np.repeat(grey, factor, axis=1), factor, axis=2)[..., None].repeat(3, axis=3)


def in_test_set(target: npt.NDArray[np.int64], fraction: float) -> npt.NDArray[np.bool_]:
    """(N,) mask of the digits that are held out for the test."""
    ids = [f"digit-{n:04d}" for n in range(len(target))]
    return held_out(ids, LabelSpace(CLASS_NAMES).membership(target), fraction, "test", multi_label=False)


def digits(val_fraction: float, test_fraction: float = TEST_FRACTION) -> tuple[ImageSource, ImageSource]:
    """The training source (splits train and val) and the test source."""
    grey, target = grey_digits()
    test = in_test_set(target, test_fraction)
    space = LabelSpace(CLASS_NAMES)

    def source(rows: npt.NDArray[np.int64], held_split: str, fraction: float, rest: str) -> ImageSource:
        ids = [f"digit-{n:04d}" for n in rows]
        labels = space.membership(target[rows])
        held = held_out(ids, labels, fraction, "val", multi_label=False)
        split = [held_split if h else rest for h in held]
        return in_memory("digits", space, ids, labels, split, enlarged(grey[rows], 4), (32, 32, 3))

    return source(np.flatnonzero(~test), "val", val_fraction, "train"), source(np.flatnonzero(test), "val", 0, "test")
