"""The handwritten digits that ship inside scikit-learn (UCI optical recognition, 1,797 grey images of 8 x 8).

Each pixel becomes 4 x 4 pixels of three equal channels: 32 x 32 x 3. A fifth of each class, by a hash of the id, is the
test set; scikit-learn ships no split of its own.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from csrms_dist.datasets.image_table import ImageSource
from csrms_dist.datasets.splits import held_out
from csrms_dist.labels import LabelSpace

TEST_FRACTION = 0.2


def digits(val_fraction: float) -> tuple[ImageSource, ImageSource]:
    """The training source (splits train and val) and the test source."""
    bunch = load_digits()
    grey = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    images = np.repeat(np.repeat(grey, 4, axis=1), 4, axis=2)[..., None].repeat(3, axis=3)
    ids = np.array([f"digit-{n:04d}" for n in range(len(images))])
    space = LabelSpace(tuple(str(k) for k in range(10)))
    test = held_out(ids.tolist(), space.membership(bunch.target), TEST_FRACTION, "test", multi_label=False)

    def source(rows: np.ndarray[tuple[int], np.dtype[np.bool_]], split: list[str]) -> ImageSource:
        labels = space.membership(bunch.target[rows])
        return ImageSource("digits", space, ids[rows].tolist(), labels, split, images[rows], (32, 32, 3))

    train_ids, train_labels = ids[~test].tolist(), space.membership(bunch.target[~test])
    val = held_out(train_ids, train_labels, val_fraction, "val", multi_label=False)
    return (
        source(~test, ["val" if v else "train" for v in val]),
        source(test, ["test"] * int(test.sum())),
    )
