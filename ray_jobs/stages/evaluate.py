"""Stage evaluate: label-free inference, then and only then the labels; the test set is read once."""

from __future__ import annotations

import functools
import json

import pyarrow.parquet as pq
import torch

from csrms_dist.artefacts.names import METRICS, PREDICTIONS
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.arrays import I64
from csrms_dist.basics.progress import Progress
from csrms_dist.evaluation.classifier import Classifier, Predictions
from csrms_dist.evaluation.figures import TEST, Answers, Asked, figures, rows_of
from csrms_dist.evaluation.predictions import prediction_table
from csrms_dist.features.extraction import THREADS
from csrms_dist.methods.stages import GRAPH
from csrms_dist.run_contents import RunContents
from csrms_dist.training.recipe import CONTROL, TRAIN
from ray_jobs.on_ray.actors import executor_of
from ray_jobs.settings import FEW_IMAGES, hands
from ray_jobs.stages.context import StageContext
from ray_jobs.stages.predictions import ADDITION, add_predictions
from ray_jobs.stop_points import passed

BLOCK = 4096
"""Images of one task: a whole number of a model's batches, so that an answer does not depend on how they are cut."""


def execute(context: StageContext) -> None:
    """Write evaluate/predictions.parquet and the run's metrics.json (docs/metrics.md); add the answers to its graph."""
    run, settings = context.contents, context.settings
    torch.set_num_threads(THREADS)
    has_control = context.run.stamp(CONTROL) is not None and CONTROL in context.requires
    answers = _answers(context, (TRAIN, CONTROL) if has_control else (TRAIN,))
    asked = Asked(
        seed=settings.seed,
        patterns=GRAPH.name in context.requires,
        frozen=settings.encoder.frozen,
        adapter=settings.encoder.used_adapter,
        control_is_plain_head=settings.recipe.control_is_plain_head,
        epochs=settings.train.epochs,
        difficulty_threshold=settings.graph.difficulty_threshold,
        evaluate=settings.evaluate,
        method=settings.method,
        sampling=settings.sampling,
    )
    metrics = figures(run, asked, answers)
    control = answers[CONTROL, TEST].plain if has_control else None
    facts = {ADDITION: add_predictions(context, answers) if asked.patterns else ""}
    with context.run.writing("evaluate", context.inputs, facts) as folder:
        pq.write_table(prediction_table(run.test_images, answers[TRAIN, TEST], control), folder / PREDICTIONS)
        (folder / METRICS).write_text(json.dumps(metrics, sort_keys=True, allow_nan=False))
    context.run.write_json(METRICS, metrics)


@functools.cache
def _opened(uri: str, model: str) -> tuple[Classifier, RunContents]:
    torch.set_num_threads(THREADS)
    run = RunContents(RunDirectory(uri))
    return Classifier(run.artefact(model)), run


def close_models() -> None:
    """Forget the models and tables that `predict_rows` has opened in this process."""
    _opened.cache_clear()


def predict_rows(uri: str, model: str, split: str, rows: I64, frozen: bool) -> Predictions:
    """One task: what a model of the run answers to images of a split's table; no label is read.

    frozen: the encoder's features of these images lie in the feature table, as do those that the heads learnt from.
    """
    classifier, run = _opened(uri, model)
    if frozen:
        return classifier.predict_features(run.held_out_vectors(rows, of_test=split == TEST))
    table, size = run.test_images if split == TEST else run.train_images, classifier.card.batch_size
    starts = range(0, max(len(rows), 1), size)
    return Predictions.joined([classifier.predict(table.pixels(rows[n : n + size])) for n in starts])


def _answers(context: StageContext, models: tuple[str, ...]) -> Answers:
    """The predictions of each model for each split, from blocks of images."""
    uri, rows = str(context.run.path), rows_of(context.contents)
    cuts = {split: [some[n : n + BLOCK] for n in range(0, max(len(some), 1), BLOCK)] for split, some in rows.items()}
    frozen = context.settings.encoder.frozen
    tasks = [(uri, model, split, part, frozen) for model in models for split in rows for part in cuts[split]]
    total = sum(len(part) for *_, part, _ in tasks)
    actors = min(hands(context.settings.evaluate.actors, total, FEW_IMAGES), len(tasks))
    with (
        Progress("evaluate", total=total, unit="images") as progress,
        executor_of(actors, context.ray_slots, "evaluate", context.settings.name) as executor,
    ):

        def show(number: int) -> None:
            progress.update(len(tasks[number][3]))
            passed("evaluate.block")

        try:
            results = iter(executor.map(predict_rows, tasks, show))
        finally:
            close_models()  # where this process ran the tasks: a later run may have other models in their places
    return {
        (model, split): Predictions.joined([next(results) for _ in cuts[split]]) for model in models for split in rows
    }
