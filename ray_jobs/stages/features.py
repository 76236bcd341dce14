"""Stage features: the stage-0 encoder over all images (here or in Ray Data), or the user's own vectors."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from scipy import sparse

from csrms_dist.artefacts.files import NpyWriter
from csrms_dist.artefacts.names import HELD_OUT
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.arrays import F32, I64
from csrms_dist.basics.devices import device_of
from csrms_dist.basics.progress import Progress, warn
from csrms_dist.datasets.image_source import TRAIN
from csrms_dist.datasets.image_table import ImageTable
from csrms_dist.errors import require
from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.features.extraction import THREADS, encode_range
from csrms_dist.features.feature_table import VECTORS, write_rows
from csrms_dist.features.given_vectors import read_vectors
from csrms_dist.run_contents import RunContents
from csrms_dist.training.recipe import PRETRAIN
from ray_jobs.on_ray.gpus import share_of_gpus
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
        table = read_vectors(path, folder, context.settings.features)
        held_out = table.save_divided(folder)
        facts.update(rows=len(table) - held_out, held_out=held_out, dimension=table.dimension)
        facts["labelled"] = table.membership is not None
        if table.membership is not None:
            n_classes = table.membership.shape[1]
            empty = n_classes - len(np.unique(table.membership.indices))
            if empty:
                warn(f"{path}: {empty:,} of the classes 0..{n_classes - 1:,} have no row")
        progress.update(len(table))


@dataclass(frozen=True)
class _Part:
    """Images of one table: their places in it, and the dense index of its first image among all of the data set."""

    table: ImageTable
    rows: I64
    first: int = 0


def _parts(run: RunContents) -> tuple[_Part, ...]:
    """The images of training; and those of the other splits, in the order of their dense index."""
    train, test = run.train_images, run.test_images
    beside = np.sort(np.concatenate([train.indices("val"), train.indices("unlabelled")]))
    return (
        _Part(train, train.indices("train")), _Part(train, beside), _Part(test, np.arange(len(test)), len(train)),
    )  # fmt: skip


class _Encoder:
    """This process or a Ray Data actor: opens tables and encoder once, encodes ranges of UNIT images."""

    def __init__(self) -> None:
        self._opened: dict[str, tuple[Classifier, tuple[_Part, ...]]] = {}

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        """Ranges as {'run', 'device', 'size', 'part', 'first'} -> {'part', 'first', 'vectors'}: (n, D) float32 each, as
        bytes."""
        columns = (rows[key] for key in ("run", "device", "size", "part", "first"))
        encoded = [
            self.encode(str(run), str(device), int(size), int(part), int(first))
            for run, device, size, part, first in zip(*columns, strict=True)
        ]
        return {"part": rows["part"], "first": rows["first"], "vectors": [some.tobytes() for some in encoded]}

    def encode(self, uri: str, device: str, size: int, part: int, first: int) -> F32:
        """(n, D) features of a part's images from `first` on, as many as a range has."""
        if uri not in self._opened:
            torch.set_num_threads(THREADS)
            run = RunContents(RunDirectory(uri))
            self._opened[uri] = Classifier(run.artefact(PRETRAIN), device_of(device, "train.device")), _parts(run)
        classifier, parts = self._opened[uri]
        chosen = parts[part].rows[first : first + unit_of(size)]
        return encode_range(
            classifier.encoder, classifier.normalise, parts[part].table, chosen, size, classifier.device
        )


def unit_of(size: int) -> int:
    """Images of one range: whole batches, so that a feature does not depend on how the work is cut."""
    return -(-UNIT // size) * size


def execute(context: StageContext) -> None:
    """Write features/: un-augmented training features, rows in the order of the image table; features/held_out/: those
    of the other splits, from which nothing learns, so that their passes count in no comparison.
    """
    run = context.run
    parts = _parts(context.contents)
    counts = [len(part.rows) for part in parts]
    n_train, n_beside = counts[0], sum(counts[1:])
    dimension = int(Classifier(context.contents.artefact(PRETRAIN)).model.encoder.dimension)
    facts = {"rows": n_train, "held_out": n_beside, "dimension": dimension,
             "labelled": parts[0].table.label_space.n_classes > 0,
             "passes": {"backward": 0, "forward": n_train}}  # fmt: skip
    with run.writing("features", context.inputs, facts) as folder:
        beside = folder / HELD_OUT
        with (
            Progress("features", total=n_train + n_beside, unit="images") as progress,
            ExitStack() as stack,
        ):
            writer = stack.enter_context(NpyWriter(folder / VECTORS, np.float32, (n_train, dimension)))
            writers = [(writer, 0)]
            if n_beside:
                beside.mkdir()
                writer = stack.enter_context(NpyWriter(beside / VECTORS, np.float32, (n_beside, dimension)))
                writers += [(writer, 0), (writer, counts[1])]
            for number, first, vectors in _encoded(context, counts, dimension):
                writer, start = writers[number]
                writer.put(start + first, vectors)
                progress.update(len(vectors))
        _write_rows(folder, parts[:1])
        if n_beside:
            _write_rows(beside, parts[1:])


def _write_rows(folder: Path, parts: Sequence[_Part]) -> None:
    """Write the topology of images of one or two tables."""
    space, split = parts[0].table.label_space, np.concatenate([part.table.split[part.rows] for part in parts])
    instance = np.concatenate([part.first + part.rows for part in parts])
    ids = pa.concat_arrays([part.table.ids.take(part.rows) for part in parts])
    membership = sparse.vstack([part.table.membership[part.rows] for part in parts], format="csr")
    other = None if (split == TRAIN).all() else split
    uris = None
    if any(part.table.uris is not None for part in parts):
        uris = pa.concat_arrays([_uris(part) for part in parts])
    write_rows(folder, instance, np.zeros(len(instance), np.int32), ids, membership, space, other, uris)


def _uris(part: _Part) -> pa.StringArray:
    if part.table.uris is None:
        return pa.array([""] * len(part.rows), pa.string())
    return part.table.uris.take(part.rows)


def _encoded(context: StageContext, counts: Sequence[int], dimension: int) -> Iterator[tuple[int, int, F32]]:
    """Ranges in the order in which they are finished: (part, first row, vectors)."""
    settings = context.settings
    uri, device, size = context.run.address, settings.train.device, settings.features.batch_size
    ranges = [(part, first) for part, n_rows in enumerate(counts) for first in range(0, n_rows, unit_of(size))]
    wanted = hands(settings.features.actors, sum(counts), FEW_IMAGES, many=len(ranges))
    if not uses_ray(wanted):
        encoder = _Encoder()
        yield from ((part, first, encoder.encode(uri, device, size, part, first)) for part, first in ranges)
        return
    gpus = share_of_gpus(device, "train.device", wanted, context.ray_slots)
    with ray_session(context.ray_slots):
        # What an actor needs travels in the rows: Ray Data warns about arguments of an actor's constructor.
        rows = [{"run": uri, "device": device, "size": size, "part": part, "first": first} for part, first in ranges]
        for part, first, found in _on_ray(rows, wanted, gpus):
            yield part, first, np.frombuffer(found, np.float32).reshape(-1, dimension)


def _on_ray(rows: Sequence[dict[str, Any]], wanted: int, gpus: float) -> Iterator[tuple[int, int, bytes]]:
    """Ranges, as `_Encoder` takes them, from Ray Data: (part, first row, bytes of the vectors)."""
    ray, ray_data = require("ray"), require("ray.data")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray_data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # One of Ray's CPUs, of which a local session has more than the machine, is left to Ray Data itself.
    actors = max(1, min(int(ray.cluster_resources().get("CPU", 2)) - 1, len(rows), wanted))
    blocks = ray_data.from_items(list(rows), override_num_blocks=min(len(rows), 4 * actors)).map_batches(
        _Encoder,
        batch_size=1,
        num_cpus=1,
        num_gpus=gpus or None,
        compute=ray_data.ActorPoolStrategy(size=actors),
    )
    try:
        for row in blocks.iter_rows():
            yield int(row["part"]), int(row["first"]), row["vectors"]
    except Exception as error:
        if (ours := own_error(error)) is not None:
            raise ours from error
        raise
