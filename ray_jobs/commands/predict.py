"""Command predict: classify images that nobody has labelled, with a trained run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.arrays import U8
from csrms_dist.basics.progress import Progress
from csrms_dist.datasets.decoding import SUFFIXES, Stored, Unreadable, decode, in_threads
from csrms_dist.datasets.image_table import Rejected
from csrms_dist.errors import DataError
from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.evaluation.placement import Placement
from csrms_dist.features.extraction import THREADS
from csrms_dist.run_contents import RunContents
from csrms_dist.training.recipe import TRAIN

BLOCK = 1024
LIKELY = 0.5


def predict(run: RunDirectory, path: str | Path) -> tuple[pa.Table, list[Rejected]]:
    """Classify an image file, a folder of them (recursively) or a Parquet file of `image` bytes and, if there, `id`.

    Images become RGB at the model's size (bilinear). Returns a table of id, class, probability, graph_class,
    mean_class, nearest_pattern, resemblance (to that pattern), distance and outlier (unlike all that was trained on),
    and what could not be read; with several labels an image also classes and probabilities, the lists of what is at
    least as likely as not. Raises DataError when there is no image.
    """
    torch.set_num_threads(THREADS)
    contents = RunContents(run)
    classifier, placement = Classifier(contents.artefact(TRAIN)), Placement(contents)
    rejected: list[Rejected] = []
    parts: list[pa.Table] = []
    with Progress("predict", unit="images") as progress:
        for ids, pixels in _blocks(Path(path), classifier.card.image_shape, rejected):
            parts.append(_table(classifier, placement, ids, pixels))
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


def _table(classifier: Classifier, placement: Placement, ids: list[str], pixels: U8) -> pa.Table:
    features = classifier.features(pixels)
    found = classifier.predict_features(features)
    names = np.array(classifier.class_names)
    columns: dict[str, Any] = {
        "id": ids,
        "class": names[found.plain.argmax(axis=1)],
        "probability": found.plain.max(axis=1),
    }
    if classifier.card.multi_label:
        ranked = np.argsort(-found.plain, axis=1, kind="stable")
        sure = [[k for k in row if found.plain[n, k] >= LIKELY] for n, row in enumerate(ranked)]
        columns["classes"] = pa.array([names[row].tolist() for row in sure], pa.list_(pa.string()))
        columns["probabilities"] = pa.array(
            [found.plain[n, row].tolist() for n, row in enumerate(sure)], pa.list_(pa.float32())
        )
    columns |= {
        f"{head}_class": names[values.argmax(axis=1)] for head, values in found.heads.items() if head != "plain"
    }
    place = placement.place(pixels, features)
    columns |= {
        "nearest_pattern": place.pattern,
        "resemblance": place.resemblance,
        "distance": place.distance,
        "outlier": place.outlier,
    }
    return pa.table(columns)


def _blocks(path: Path, shape: tuple[int, int, int], rejected: list[Rejected]) -> Iterator[tuple[list[str], U8]]:
    """(ids, images) of what can be read, a bounded number at a time; the rest goes into `rejected`."""
    sources = _sources(path)
    while block := list(islice(sources, BLOCK)):
        found = in_threads(partial(decode, shape=shape), [stored for _, stored in block])
        ids, images = [], []
        for (name, _), image in zip(block, found, strict=True):
            if isinstance(image, Unreadable):
                rejected.append(Rejected(name, image.reason))
            else:
                ids.append(name)
                images.append(image)
        if ids:
            yield ids, np.stack(images)


def _sources(path: Path) -> Iterator[tuple[str, Stored]]:
    """(id, image) of each image; ids of files are their paths below `path`."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        yield from ((str(file.relative_to(path)), file) for file in files)
    elif path.suffix == ".parquet" and path.is_file():
        yield from _parquet(path)
    elif path.is_file():
        yield path.name, path
    else:
        raise DataError(f"{path}", got="nothing there", expected="an image, a folder of images or a Parquet file")


def _parquet(path: Path) -> Iterator[tuple[str, Stored]]:
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
        images = batch["image"]
        if pa.types.is_struct(images.type):  # Hugging Face's {'bytes': ..., 'path': ...}
            images = images.field("bytes")
        yield from zip(map(str, ids), images.to_pylist(), strict=True)
