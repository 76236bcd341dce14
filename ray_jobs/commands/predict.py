"""Command predict: classify images that nobody has labelled, with a trained run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.arrays import U8
from csrms_dist.basics.parquet import batches, texts_of
from csrms_dist.basics.progress import Progress
from csrms_dist.basics.words import counted
from csrms_dist.datasets.decoding import SUFFIXES, Stored, Unreadable, decode, in_threads
from csrms_dist.datasets.folder_walk import shown, walk
from csrms_dist.datasets.image_column import IMAGE, open_images, stored_images
from csrms_dist.datasets.image_table import Rejected
from csrms_dist.errors import DataError, RunDirectoryError
from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.evaluation.placement import Placement
from csrms_dist.features.extraction import THREADS
from csrms_dist.run_contents import RunContents
from csrms_dist.training.recipe import TRAIN
from ray_jobs.places import trains_nothing

BLOCK = 1024
LIKELY = 0.5
SHOWN = 3


def predict(run: RunDirectory, *paths: str | Path) -> tuple[pa.Table, list[Rejected]]:
    """Classify image files, folders of them (recursively) and Parquet files of `image` bytes and, if there, `id`.

    Images become RGB at the model's size (bilinear). Returns a table of id, class, probability, graph_class,
    mean_class, nearest_pattern, resemblance (to that pattern), distance, outlier (unlike all that was trained on) and
    problem, and what could not be read; with several labels an image also classes and probabilities, the lists of what
    is at least as likely as not. What could not be read has a row too, in its place, in which problem says why and all
    else is null. The id of a file is its name, of one in a folder its path there; of several paths, the path as it was
    given leads. Raises DataError when there is no image.
    """
    torch.set_num_threads(THREADS)
    _refuse_untrained(run)
    for path in map(Path, paths):
        if not path.exists():
            raise DataError(
                shown(str(path)), got="nothing there", expected="an image, a folder of images or a Parquet file"
            )
    contents = RunContents(run)
    classifier, placement = Classifier(contents.artefact(TRAIN)), Placement(contents)
    rejected: list[Rejected] = []
    parts: list[pa.Table] = []
    read = 0
    with Progress("predict", unit="images") as progress:
        for block in _blocks([Path(path) for path in paths], classifier.card.image_shape):
            problems = [Rejected(name, found.reason) for name, found in block if isinstance(found, Unreadable)]
            images = [(name, found) for name, found in block if not isinstance(found, Unreadable)]
            answers = []
            if images:
                answers.append(
                    _table(
                        classifier, placement, [name for name, _ in images], np.stack([image for _, image in images])
                    )
                )
            if problems:
                answers.append(
                    pa.table({"id": [item.id for item in problems], "problem": [item.reason for item in problems]})
                )
            place = [place for place, (_, found) in enumerate(block) if not isinstance(found, Unreadable)]
            place += [place for place, (_, found) in enumerate(block) if isinstance(found, Unreadable)]
            parts.append(pa.concat_tables(answers, promote_options="default").take(np.argsort(place)))
            rejected += problems
            read += len(images)
            progress.update(len(block))
        if not read:
            reason = "no image"
            if rejected:
                unreadable = counted(len(rejected), "unreadable image")
                reason = f"{unreadable}, the first {rejected[0].id}: {rejected[0].reason}"
            raise DataError(
                ", ".join(map(str, paths[:SHOWN])) + (", ..." if len(paths) > SHOWN else ""),
                got=reason,
                expected=f"images ({', '.join(sorted(SUFFIXES))}) or Parquet of image bytes",
            )
    names = max((part.column_names for part in parts), key=len)  # a block of which nothing could be read has two
    return pa.concat_tables(parts, promote_options="default").select(names), rejected


def _refuse_untrained(run: RunDirectory) -> None:
    """Raise RunDirectoryError for a run that never has a model: on given vectors, or without labels."""
    if why := trains_nothing(run):
        raise RunDirectoryError(
            run.uri, got=f"{why}, which trains nothing", expected="one on labelled images",
            remedy="name another with --run",
        )  # fmt: skip


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
        "resemblance": place.score,
        "distance": place.distance,
        "outlier": place.outlier,
        "problem": pa.nulls(len(ids), pa.string()),
    }
    return pa.table(columns)


def _blocks(paths: Sequence[Path], shape: tuple[int, int, int]) -> Iterator[list[tuple[str, U8 | Unreadable]]]:
    """(id, image, or why there is none), a bounded number at a time."""
    sources = chain.from_iterable(_sources(path, several=len(paths) > 1) for path in paths)
    while block := list(islice(sources, BLOCK)):
        found = in_threads(partial(decode, shape=shape), [stored for _, stored in block])
        yield [(name, image) for (name, _), image in zip(block, found, strict=True)]


def _sources(path: Path, *, several: bool) -> Iterator[tuple[str, Stored]]:
    """(id, image) of each image below a path, one of several."""
    if path.is_dir():
        for below, entry in walk(path):
            if Path(entry.name).suffix.lower() in SUFFIXES:
                yield shown(entry.path if several else below), Path(entry.path)
    elif path.suffix.lower() == ".parquet" and path.is_file():
        yield from ((shown(f"{path}/{name}") if several else name, image) for name, image in _parquet(path))
    else:
        yield shown(str(path) if several else path.name), path


def _parquet(path: Path) -> Iterator[tuple[str, Stored]]:
    """(id, image) of each row; a row without an id goes by its number."""
    file = open_images(path, "a Parquet file of images")
    names = file.schema_arrow.names
    for first, batch in batches(path, file, BLOCK, [name for name in ("id", IMAGE) if name in names]):
        ids = texts_of(path, "id", batch["id"], first).to_pylist() if "id" in names else [None] * len(batch)
        for row, (name, image) in enumerate(zip(ids, stored_images(batch[IMAGE]), strict=True), first):
            yield f"row {row}" if name is None else name, image
