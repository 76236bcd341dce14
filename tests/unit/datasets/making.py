"""Small data sets in every layout, below the current folder."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

SIDE = 8


def pixels(seed: int, side: int = SIDE) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def png(seed: int, side: int = SIDE, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels(seed, side)).save(buffer, kind)
    return buffer.getvalue()


def parquet(path: str, **columns: Any) -> None:
    """A Parquet file with an image for each value of the other columns, unless `image` is given."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    n = len(next(iter(columns.values())))
    table = {"image": [png(seed) for seed in range(n)], **columns}
    pq.write_table(pa.table({name: column for name, column in table.items() if column is not None}), path)


def spoil(path: str, column: str) -> None:
    """Overwrite the head of the first data page of a column."""
    group = pq.ParquetFile(path).metadata.row_group(0)
    facts = next(group.column(n) for n in range(group.num_columns) if group.column(n).path_in_schema == column)
    raw = bytearray(Path(path).read_bytes())
    for place in range(facts.data_page_offset, facts.data_page_offset + 20):
        raw[place] ^= 0x5A
    Path(path).write_bytes(raw)


def both(train: dict[str, Any] | None = None, test: dict[str, Any] | None = None) -> None:
    """images/train.parquet and images/test.parquet: two classes, two images each."""
    parquet("images/train.parquet", **{"id": ["a", "b"], "label": [0, 1], **(train or {})})
    parquet("images/test.parquet", **{"id": ["c", "d"], "label": [0, 1], **(test or {})})


def image_files(*paths: str) -> None:
    for seed, path in enumerate(paths):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(png(seed))


def vireofood172(lists: dict[str, Sequence[str]], names: Sequence[str] = ("Braised pork", "Fish")) -> None:
    """Lists by name, and the image of each of their lines, in the order of the lists."""
    for name, lines in {**lists, "FoodList": names}.items():
        table("\n".join(lines) + "\n", f"food/SplitAndIngreLabel/{name}.txt")
    every = (line.replace("\\", "/").lstrip("/") for lines in lists.values() for line in lines)
    image_files(*(f"food/ready_chinese_food/{line.removeprefix('ready_chinese_food/')}" for line in every))


def nus_wide(
    train: dict[str, tuple[str, str]], test: dict[str, tuple[str, str]], concepts: Sequence[str] = ("animal", "sky")
) -> None:
    """Images as {path in the list: (0 or 1 of each concept, 0 or 1 of each tag)}, none of them written."""
    Path("nus/Flickr/actor").mkdir(parents=True, exist_ok=True)
    table("\n".join(concepts) + "\n", "nus/ConceptsList/Concepts81.txt")
    for word, images in (("Train", train), ("Test", test)):
        table("".join(f"{path} \r\n" for path in images), f"nus/ImageList/{word}Imagelist.txt")
        for k, concept in enumerate(concepts):
            column = "".join(f"{labels[k]}\n" for labels, _ in images.values())
            table(column, f"nus/Groundtruth/TrainTestLabels/Labels_{concept}_{word}.txt")
        rows = "".join("\t".join(tags) + "\t\n" for _, tags in images.values())
        table(rows, f"nus/NUS_WID_Tags/{word}_Tags1k.dat")


def table(text: str, path: str = "images.csv") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def cifar10(
    folder: str = "cifar-10-batches-py", labels: Sequence[int] = (0, 1), names: Sequence[str] = ("cat", "dog")
) -> None:
    """Six batches of as many images as labels."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        batch = {
            b"data": np.stack([cifar_row(10 * number + k) for k in range(len(labels))]),
            b"labels": list(labels),
        }
        (place / name).write_bytes(pickle.dumps(batch, protocol=2))
    (place / "batches.meta").write_bytes(pickle.dumps({b"label_names": [name.encode() for name in names]}, protocol=2))


def cifar_row(seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(3072,): red, green and blue planes, as CIFAR stores an image."""
    return pixels(seed, 32).transpose(2, 0, 1).reshape(-1)


def cifar100(labels: Sequence[int]) -> None:
    """cifar-100-python with as many training and test images as labels."""
    place = Path("cifar-100-python")
    place.mkdir()
    for number, name in enumerate(["train", "test"]):
        batch = {
            b"data": np.stack([cifar_row(10 * number + k) for k in range(len(labels))]),
            b"fine_labels": list(labels),
            b"coarse_labels": [0] * len(labels),
        }
        (place / name).write_bytes(pickle.dumps(batch, protocol=2))
    (place / "meta").write_bytes(pickle.dumps({b"fine_label_names": [b"cat", b"dog"]}, protocol=2))
