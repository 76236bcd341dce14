"""Stage features: the stage-0 encoder over the training images (here or in Ray Data), or the user's own vectors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from csrms_dist.artefacts.files import NpyWriter
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.arrays import F32
from csrms_dist.basics.progress import Progress, warn
from csrms_dist.datasets.image_table import ImageTable
from csrms_dist.errors import require
from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.features.extraction import THREADS, encode_range
from csrms_dist.features.feature_table import VECTORS, write_rows
from csrms_dist.features.given_vectors import read_vectors
from csrms_dist.run_contents import RunContents
from csrms_dist.training.recipe import PRETRAIN
from ray_jobs.on_ray.session import own_error, ray_session, uses_ray
from ray_jobs.settings import FEW_IMAGES, hands
from ray_jobs.stages.context import StageContext

UNIT = 1024


def import_vectors(context: StageContext) -> None:
    """Write features/ from the user's own vectors."""
    path = context.settings.features.path
    facts: dict[str, Any] = {}
    with (
        Progress("features", unit="rows") as progress,
        context.run.writing("features", context.inputs, facts) as folder,
    ):
        table = read_vectors(path, folder)
        facts.update(rows=len(table), dimension=table.dimension, labelled=table.membership is not None)
        if table.membership is not None:
            n_classes = table.membership.shape[1]
            empty = n_classes - len(np.unique(table.membership.indices))
            if empty:
                warn(f"{path}: {empty:,} of the classes 0..{n_classes - 1:,} have no row")
        table.save(folder)
        progress.update(len(table))


class _Encoder:
    """This process or a Ray Data actor: opens table and encoder once, encodes ranges of UNIT images."""

    def __init__(self) -> None:
        self._opened: dict[str, tuple[Classifier, ImageTable, Any]] = {}

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        """Ranges as {'run', 'size', 'first'} -> {'first', 'vectors'}: one (n, D) float32, as bytes, for each."""
        encoded = [
            self.encode(str(run), int(size), int(first))
            for run, size, first in zip(rows["run"], rows["size"], rows["first"], strict=True)
        ]
        return {"first": rows["first"], "vectors": [part.tobytes() for part in encoded]}

    def encode(self, uri: str, size: int, first: int) -> F32:
        """(n, D) features of the images from `first` on, as many as a range has."""
        if uri not in self._opened:
            torch.set_num_threads(THREADS)
            run = RunContents(RunDirectory(uri))
            table = run.train_images
            self._opened[uri] = Classifier(run.artefact(PRETRAIN)), table, table.indices("train")
        classifier, table, indices = self._opened[uri]
        chosen = indices[first : first + unit_of(size)]
        return encode_range(classifier.encoder, classifier.normalise, table, chosen, size)


def unit_of(size: int) -> int:
    """Images of one range: whole batches, so that a feature does not depend on how the work is cut."""
    return -(-UNIT // size) * size


def execute(context: StageContext) -> None:
    """Write features/: un-augmented training features, rows in the order of the image table."""
    run = context.run
    table = context.contents.train_images
    indices = table.indices("train")
    dimension = int(Classifier(context.contents.artefact(PRETRAIN)).model.encoder.dimension)
    facts = {"rows": len(indices), "dimension": dimension, "labelled": True,
             "passes": {"backward": 0, "forward": len(indices)}}  # fmt: skip
    with run.writing("features", context.inputs, facts) as folder:
        with (
            Progress("features", total=len(indices), unit="images") as progress,
            NpyWriter(folder / VECTORS, np.float32, (len(indices), dimension)) as writer,
        ):
            for first, vectors in _encoded(context, len(indices), dimension):
                writer.put(first, vectors)
                progress.update(len(vectors))
        ids = table.ids.take(indices)
        write_rows(folder, indices, np.zeros(len(indices), np.int32), ids, table.membership[indices], table.label_space)


def _encoded(context: StageContext, n_rows: int, dimension: int) -> Iterator[tuple[int, F32]]:
    """Ranges in the order in which they are finished: (first row, vectors)."""
    uri, size = str(context.run.path), context.settings.features.batch_size
    firsts = range(0, n_rows, unit_of(size))
    wanted = hands(context.settings.features.actors, n_rows, FEW_IMAGES, many=len(firsts))
    if not uses_ray(wanted):
        encoder = _Encoder()
        yield from ((first, encoder.encode(uri, size, first)) for first in firsts)
        return
    with ray_session(context.ray_slots):
        for first, found in _on_ray(uri, size, firsts, wanted):
            yield first, np.frombuffer(found, np.float32).reshape(-1, dimension)


def _on_ray(uri: str, size: int, firsts: range, wanted: int) -> Iterator[tuple[int, bytes]]:
    """Ranges from Ray Data: (first row, bytes of the vectors)."""
    ray, ray_data = require("ray"), require("ray.data")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray_data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # One of Ray's CPUs, of which a local session has more than the machine, is left to Ray Data itself.
    actors = max(1, min(int(ray.cluster_resources().get("CPU", 2)) - 1, len(firsts), wanted))
    # What an actor needs travels in the rows: Ray Data warns about arguments of an actor's constructor.
    rows = [{"run": uri, "size": size, "first": first} for first in firsts]
    blocks = ray_data.from_items(rows, override_num_blocks=min(len(rows), 4 * actors)).map_batches(
        _Encoder,
        batch_size=1,
        num_cpus=1,
        compute=ray_data.ActorPoolStrategy(size=actors),
    )
    try:
        for row in blocks.iter_rows():
            yield int(row["first"]), row["vectors"]
    except Exception as error:
        if (ours := own_error(error)) is not None:
            raise ours from error
        raise
