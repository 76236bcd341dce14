"""Stage images: the image tables of a data set, with validation and unlabelled images inside the training set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from csrms_dist.artefacts.fingerprints import fingerprint
from csrms_dist.artefacts.names import REJECTED, TEST_IMAGES, TRAIN_IMAGES
from csrms_dist.basics.progress import Progress, warn
from csrms_dist.datasets.image_source import Layout
from csrms_dist.datasets.image_table import ImageTable, Rejected, Run, write_image_table
from csrms_dist.datasets.layouts.choose import open_layout
from ray_jobs.on_ray.actors import executor_of
from ray_jobs.on_ray.session import cluster_cpus, ray_session, uses_ray
from ray_jobs.stages.context import StageContext
from ray_jobs.stages.workers import discard_checkpoints

CPUS_PER_ACTOR = 4
"""An actor decodes with as many threads."""


def execute(context: StageContext) -> None:
    """Write images/train.arrow (splits train, val and unlabelled), images/test.arrow and images/rejected.parquet.

    Tables of several shards are decoded by as many actors as there are, and the shards that an attempt has finished are
    of use to the next.
    """
    layout = open_layout(context.settings.data)
    for note in layout.notes:
        warn(note)
    facts: dict[str, Any] = {}
    total = len(layout.train) + len(layout.test)
    with (
        Progress("images", total=total, unit="images") as progress,
        context.run.writing("images", context.inputs, facts) as folder,
    ):
        with _runner(context, max(len(layout.train), len(layout.test))) as run:
            write = partial(
                write_image_table, shard_images=context.settings.data.shard_images, work=context.work,
                on_images=progress.update, run=run,
            )  # fmt: skip
            train = write(folder / TRAIN_IMAGES, layout.train)
            test = write(folder / TEST_IMAGES, layout.test, shape=train.shape)
        rejected = [*train.rejected, *test.rejected]
        _write_rejected(folder / REJECTED, rejected)
        facts.update(_facts(layout, ImageTable(folder / TRAIN_IMAGES), ImageTable(folder / TEST_IMAGES)))
        facts["rejected"] = len(rejected)
    discard_checkpoints(context)
    if rejected:
        warn(
            f"{layout.name}: {len(rejected):,} of {total:,} images cannot be read and were set aside, the first "
            f"'{rejected[0].id}': {rejected[0].reason}; all of them: {context.run.uri_of('images', REJECTED)}"
        )


@contextmanager
def _runner(context: StageContext, images: int) -> Iterator[Run | None]:
    """Who writes the shards of a table of so many images; None: this process."""
    data = context.settings.data
    shards = -(-images // data.shard_images)
    wanted = data.actors if isinstance(data.actors, int) else (os.cpu_count() or 1) // CPUS_PER_ACTOR
    if shards < 2 or not uses_ray(wanted):
        yield None
        return
    with ray_session(context.ray_slots):
        cpus = cluster_cpus()
        wanted = data.actors if isinstance(data.actors, int) else cpus // CPUS_PER_ACTOR
        with executor_of(max(1, min(wanted, shards, cpus - 1)), context.ray_slots) as executor:
            yield executor.map


def _write_rejected(path: Path, rejected: list[Rejected]) -> None:
    columns = {name: pa.array([getattr(item, name) for item in rejected], pa.string()) for name in REJECTED_COLUMNS}
    pq.write_table(pa.table(columns), path)


REJECTED_COLUMNS = ("id", "split", "reason")


def _facts(layout: Layout, train: ImageTable, test: ImageTable) -> dict[str, Any]:
    """The notes that later stages and the reports need."""
    mean, std = train.channel_statistics()
    return {
        "content_hash": fingerprint(train.content_hash, test.content_hash),
        "mean": mean,
        "std": std,
        "train": len(train.indices("train")),
        "val": len(train.indices("val")),
        "test": len(test),
        "unlabelled": len(train.indices("unlabelled")),
        "classes": layout.label_space.n_classes,
        "test_only": list(layout.test_only),
        "multi_label": layout.label_space.multi_label,
    }
