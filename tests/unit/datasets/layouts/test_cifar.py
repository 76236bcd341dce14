"""CIFAR's pickles yield the same images and labels as plain loops over them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy._core import multiarray

from csrms_dist.errors import DataError
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


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("labels", [list, np.array, lambda some: [np.int64(k) for k in some]])
def test_pickles_that_python_and_numpy_have_written_again(protocol: int, labels: Callable[[list[int]], Any]) -> None:
    making.cifar10()
    for path in Path("cifar-10-batches-py").glob("*_batch*"):
        batch = pickle.loads(path.read_bytes(), encoding="bytes")  # noqa: S301
        again = {"data": batch[b"data"], "labels": labels(batch[b"labels"])}
        path.write_bytes(pickle.dumps(again, protocol))
    found = layout("cifar", ".", val_fraction=0)
    assert label_lists(found.train.membership) == 5 * [[0], [1]]
    assert np.array_equal(rows(found.test)["test/00001"][2], making.pixels(51, 32))


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("test_batch", b"", "got a file that is damaged or no pickle"),
        ("test_batch", pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [[0], [0, 1]]}), "no list of"),
        ("test_batch", pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}), "got 1 labels"),
        ("batches.meta", pickle.dumps({"label_names": 3}), "label_names: got int, expected the names of the classes"),
        ("batches.meta", pickle.dumps([1]), "got list, expected a dictionary"),
    ],
)
def test_what_is_no_cifar_is_refused_in_a_sentence(file: str, content: bytes, said: str) -> None:
    making.cifar10()
    (Path("cifar-10-batches-py") / file).write_bytes(content)
    with pytest.raises(DataError, match=rf"cifar-10-batches-py/{file}.*{said}"):
        layout("cifar", ".")


def test_an_object_does_not_come_in_as_a_number() -> None:
    making.cifar10()

    class Smuggled:
        def __reduce__(self) -> tuple[Any, ...]:
            return multiarray.scalar, (np.dtype(object), b"x")

    Path("cifar-10-batches-py/test_batch").write_bytes(pickle.dumps(Smuggled()))
    with pytest.raises(DataError, match="an object in the place of a number"):
        layout("cifar", ".")
