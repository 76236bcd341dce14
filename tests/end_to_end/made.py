"""Data that tests make from scikit-learn's digits."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_digits


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_digits_parquet(folder: Path, n: int, test_share: float = 0.2) -> None:
    """train.parquet and test.parquet of the first n digits, 32 x 32 PNGs: image, label, class_name, id."""
    bunch = load_digits()
    grey = np.rint(bunch.images[:n] * (255 / 16)).astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    folder.mkdir(parents=True)
    n_train = round(n * (1 - test_share))
    for split, rows in (("train", range(n_train)), ("test", range(n_train, n))):
        table = {
            "image": [png(grey[row]) for row in rows],
            "label": [int(bunch.target[row]) for row in rows],
            "class_name": [f"digit {bunch.target[row]}" for row in rows],
            "id": [f"digit-{row:04d}" for row in rows],
        }
        pq.write_table(pa.table(table), folder / f"{split}.parquet")
