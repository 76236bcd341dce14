"""Command predict: classify images that nobody has labelled, with a trained run, as tables or in a pipe."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import torch

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.progress import Progress
from csrms_dist.basics.words import counted
from csrms_dist.datasets.decoding import SUFFIXES
from csrms_dist.datasets.folder_walk import shown
from csrms_dist.errors import DataError
from csrms_dist.evaluation.classifier import PLAIN
from csrms_dist.features.extraction import THREADS
from csrms_dist.inference.predictor import Predictor
from csrms_dist.inference.reading import BLOCK, images_of
from ray_jobs.commands.output import as_json

SHOWN = 3
CHUNK = 1 << 16


def predict(
    run: RunDirectory, *paths: str | Path, head: str = PLAIN, all_probabilities: bool = False, block: int = BLOCK
) -> Iterator[pa.Table]:
    """Classify image files, folders of them (recursively) and Parquet files of `image` bytes and, if there, `id`.

    Images become RGB at the model's size (bilinear). Yields tables of at most `block` rows, in the images' order, and
    holds few: of id, class, probability, what each head answers (named as in evaluate/predictions.parquet),
    nearest_pattern, resemblance (to that pattern), distance, outlier (unlike all that was trained on) and problem; with
    several labels an image also classes and probabilities, the lists of what is at least as likely as not. What could
    not be read has a row too, in its place, in which problem says why and all else is null. Raises DataError when there
    is no image, at the end where none could be read.
    """
    for path in map(Path, paths):
        if not path.exists():
            raise DataError(
                shown(str(path)), got="nothing there", expected="an image, a folder of images or a Parquet file"
            )
    predictor = _predictor(run, head, all_probabilities)
    read, unreadable, first = 0, 0, ""
    with Progress("predict", unit="images") as progress:
        for table in predictor.tables(images_of([Path(path) for path in paths]), block):
            set_aside = unread(table)
            read, unreadable = read + len(table) - len(set_aside), unreadable + len(set_aside)
            first = first or ": ".join(next(iter(set_aside), ()))
            yield table
            progress.update(len(table))
        if not read:
            reason = f"{counted(unreadable, 'unreadable image')}, the first {first}" if unreadable else "no image"
            raise DataError(
                ", ".join(map(str, paths[:SHOWN])) + (", ..." if len(paths) > SHOWN else ""),
                got=reason,
                expected=f"images ({', '.join(sorted(SUFFIXES))}) or Parquet of image bytes",
            )


def unread(answers: pa.Table) -> list[tuple[str, str]]:
    """(id, problem) of the images of a table of answers that could not be read."""
    found = answers.select(["id", "problem"]).filter(answers["problem"].is_valid())
    return list(zip(found["id"].to_pylist(), found["problem"].to_pylist(), strict=True))


def noted(tables: Iterable[pa.Table], say: Callable[[str], object]) -> Iterator[pa.Table]:
    """The same tables; what could not be read is said, once something could: until then an error may tell it."""
    held: list[tuple[str, str]] = []
    read = False
    for table in tables:
        found = unread(table)
        held, read = held + found, read or len(found) < len(table)
        if read:
            for name, reason in held:
                say(f"csrms predict: {name} was set aside: {reason}")
            held = []
        yield table


def answer_lines(
    run: RunDirectory, file: int, say: Callable[[str], object], *, head: str = PLAIN, all_probabilities: bool = False
) -> None:
    """Read paths of images from an open file, a line each, and say one line of JSON for each, in their order.

    Paths that have come are answered before others are waited for; what could not be read has an answer too.
    """
    predictor = _predictor(run, head, all_probabilities)
    for lines in arriving(file, predictor.classifier.card.batch_size):
        for row in predictor.stream(map(os.fsdecode, lines), len(lines)):
            say(as_json(row))


def arriving(file: int, most: int) -> Iterator[list[bytes]]:
    """The lines of an open file that are not empty, in lists of 1 to `most`: as many as there are when one is made."""
    waiting: deque[bytes] = deque()
    rest, ended = b"", False
    while waiting or not ended:
        while not ended and len(waiting) < most and (not waiting or select.select([file], [], [], 0)[0]):
            chunk = os.read(file, CHUNK)
            *lines, rest = (rest + chunk).split(b"\n")
            if not chunk:
                ended, lines = True, [rest]
            waiting += [line for line in lines if line.strip()]
        if waiting:
            yield [waiting.popleft() for _ in range(min(most, len(waiting)))]


def _predictor(run: RunDirectory, head: str, all_probabilities: bool) -> Predictor:
    torch.set_num_threads(THREADS)
    return Predictor(run, head=head, all_probabilities=all_probabilities)
