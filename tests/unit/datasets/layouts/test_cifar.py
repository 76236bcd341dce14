"""CIFAR's pickles yield the same images and labels as plain loops over them."""

from __future__ import annotations

import numpy as np
import pytest

from csrms_dist.labels import label_lists
from tests.unit.datasets import making
from tests.unit.datasets.opening import layout, rows, same


@pytest.mark.parametrize("path", [".", "cifar-10-batches-py"])
def test_cifar_10_from_its_folder_or_the_one_above(path: str) -> None:
    making.cifar10(labels=[1, 0, 1])
    found = layout("cifar", path, val_fraction=0)
    assert (found.name, found.label_space.class_names) == ("cifar10", ("cat", "dog"))
    expected = {}
    for batch in range(5):
        for k, label in enumerate([1, 0, 1]):
            expected[f"train/{3 * batch + k:05d}"] = ("train", [label], making.pixels(10 * batch + k, 32))
    same(rows(found.train), expected)
    same(rows(found.test), {f"test/{k:05d}": ("test", [y], making.pixels(50 + k, 32)) for k, y in enumerate([1, 0, 1])})


def test_cifar_100() -> None:
    making.cifar100(labels=[1, 0, 0])
    found = layout("cifar", ".", val_fraction=0)
    assert (found.name, found.label_space.class_names) == ("cifar100", ("cat", "dog"))
    assert label_lists(found.train.membership) == [[1], [0], [0]]
    assert np.array_equal(rows(found.test)["test/00001"][2], making.pixels(11, 32))
