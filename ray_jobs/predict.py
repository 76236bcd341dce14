"""Command predict: classify images that nobody has labelled, with a trained run."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image, UnidentifiedImageError

from csrms_dist.errors import DataError
from csrms_dist.inference import Classifier
from csrms_dist.progress import Progress
from csrms_dist.run_directory import RunDirectory
from ray_jobs.trainer import THREADS

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
BLOCK = 1024


@dataclass(frozen=True)
class Rejected:
    """An image that could not be read, and why."""

    id: str
    reason: str


def predict(run: RunDirectory, path: str | Path) -> tuple[pa.Table, list[Rejected]]:
    """Classify an image file, a folder of them (recursively) or a Parquet file of `image` bytes and, if there, `id`.

    Images become RGB at the model's size (bilinear). Returns a table of id, class, probability, graph_class, mean_class
    and nearest_pattern (in the trained features), and what could not be read. Raises DataError when there is no image.
    """
    torch.set_num_threads(THREADS)
    classifier = Classifier(run.open("train"))
    rejected: list[Rejected] = []
    parts: list[pa.Table] = []
    with Progress("predict", unit="images") as progress:
        for ids, pixels in _blocks(Path(path), classifier.card.image_shape, rejected):
            parts.append(_table(classifier, ids, pixels))
            progress.update(len(ids))
    if not parts:
        reason = (
            f"{len(rejected)} unreadable images, the first {rejected[0].id}: {rejected[0].reason}"
            if rejected
            else "no image"
        )
        raise DataError(
            f"{path}", got=reason, expected=f"images ({', '.join(sorted(SUFFIXES))}) or Parquet of image bytes"
        )
    return pa.concat_tables(parts), rejected


def _table(classifier: Classifier, ids: list[str], pixels: npt.NDArray[np.uint8]) -> pa.Table:
    features = classifier.features(pixels)
    found = classifier.predict_features(features)
    names = np.array(classifier.class_names)
    columns: dict[str, Any] = {
        "id": ids,
        "class": names[found.plain.argmax(axis=1)],
        "probability": found.plain.max(axis=1),
    }
    if found.graph is not None and found.mean is not None and classifier.prototypes is not None:
        columns["graph_class"] = names[found.graph.argmax(axis=1)]
        columns["mean_class"] = names[found.mean.argmax(axis=1)]
        unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        prototypes = torch.nn.functional.normalize(classifier.prototypes, dim=1).numpy()
        columns["nearest_pattern"] = (unit @ prototypes.T).argmax(axis=1)
    return pa.table(columns)


def _blocks(
    path: Path, shape: tuple[int, int, int], rejected: list[Rejected]
) -> Iterator[tuple[list[str], npt.NDArray[np.uint8]]]:
    ids: list[str] = []
    held: list[npt.NDArray[np.uint8]] = []
    for name, data in _sources(path):
        try:
            held.append(_decode(data, shape))
            ids.append(name)
        except UnidentifiedImageError:
            rejected.append(Rejected(name, "not an image in a known format"))
        except (OSError, ValueError, SyntaxError, TypeError) as error:
            rejected.append(Rejected(name, " ".join(str(error).split())))
        if len(ids) == BLOCK:
            yield ids, np.stack(held)
            ids, held = [], []
    if ids:
        yield ids, np.stack(held)


def _sources(path: Path) -> Iterator[tuple[str, Any]]:
    """(id, bytes) of each image; ids of files are their paths below `path`."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        yield from ((str(file.relative_to(path)), file.read_bytes()) for file in files)
    elif path.suffix == ".parquet" and path.is_file():
        yield from _parquet(path)
    elif path.is_file():
        yield path.name, path.read_bytes()
    else:
        raise DataError(f"{path}", got="nothing there", expected="an image, a folder of images or a Parquet file")


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}", got=f"'{error}'", expected="a Parquet file") from error
    names = file.schema_arrow.names
    if "image" not in names:
        raise DataError(f"{path}", got=f"the columns {', '.join(names)}", expected="a column 'image' of encoded bytes")
    row = 0
    for batch in file.iter_batches(BLOCK, columns=[name for name in ("id", "image") if name in names]):
        ids = batch["id"].to_pylist() if "id" in names else [f"row {row + n}" for n in range(len(batch))]
        row += len(batch)
        yield from zip(map(str, ids), batch["image"].to_pylist(), strict=True)


def _decode(data: Any, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Encoded bytes (or Hugging Face's {'bytes': ...}) -> (H, W, 3) uint8."""
    content = data["bytes"] if isinstance(data, dict) else data
    if not content:
        raise ValueError("no bytes")
    with Image.open(io.BytesIO(content)) as image:
        rgb = _eight_bits(image).convert("RGB")
        if rgb.size != (shape[1], shape[0]):
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
