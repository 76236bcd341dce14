"""Stage evaluate: label-free inference, then and only then the labels; the test set is read once."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.arrays import F32, I64
from csrms_dist.basics.progress import Progress
from csrms_dist.datasets.image_table import ImageTable
from csrms_dist.evaluation.classifier import Classifier, Predictions
from csrms_dist.evaluation.leak_check import blank_image_accuracy
from csrms_dist.features.feature_table import FeatureTable
from csrms_dist.hierarchy import snapshot
from csrms_dist.hierarchy.difficulty import LEVEL_NAMES, difficulty_levels
from csrms_dist.hierarchy.dominance import fallback_classes
from csrms_dist.labels import LabelSpace, Membership, label_lists
from csrms_dist.metrics import classification as measures
from csrms_dist.metrics import intervals, ranking
from csrms_dist.training.budget import Passes
from ray_jobs.on_ray.actors import ActorPool
from ray_jobs.on_ray.session import ray_session
from ray_jobs.on_ray.trainer import THREADS
from ray_jobs.stages.stage import StageContext
from ray_jobs.stop_points import passed

METRICS_SCHEMA = 2
BLOCK = 4096
"""Images of one task: a whole number of a model's batches, so that an answer does not depend on how they are cut."""


def execute(context: StageContext) -> None:
    """Write evaluate/predictions.parquet and the run's metrics.json (docs/metrics.md)."""
    run, settings = context.run, context.settings
    torch.set_num_threads(THREADS)
    images = run.open("images")
    test, train = ImageTable(images / "test.arrow"), ImageTable(images / "train.arrow")
    val = train.indices("val")
    has_control = run.stamp("control") is not None and "control" in context.requires
    models = ("train", "control") if has_control else ("train",)
    answers = _answers(context, models, {"test": np.arange(len(test)), "val": val})
    graph = snapshot.load(run.open("graph") / "snapshot")
    leak = None
    if len(val):
        bank = run.open("train") / "bank.npy"
        features = np.load(bank, mmap_mode="r") if bank.exists() else FeatureTable.load(run.open("features")).vectors
        method = Classifier(run.open("train"))
        leak = blank_image_accuracy(method, train.membership[val], graph, features, settings.sampling, settings.seed)
    # Everything above was found without a label of the test set.
    facts, clusters = run.facts("images"), run.facts("cluster")
    unseen = np.array(facts["test_only"], np.int64)
    for found in answers.values():
        _cannot_answer(found, unseen)
    val_labels = train.membership[val]
    levels = difficulty_levels(graph, settings.graph.difficulty_threshold)
    predictions = answers["train", "test"]
    metrics: dict[str, Any] = {
        "schema": METRICS_SCHEMA,
        "dataset": {
            "name": train.name,
            "content_hash": train.content_hash,
            "classes": train.label_space.n_classes,
            "multi_label": train.label_space.multi_label,
            "test_only_classes": [train.label_space.class_names[k] for k in unseen],
            "rejected": facts["rejected"],
            "imbalance": measures.imbalance(graph.membership),
            **{split: facts[split] for split in ("train", "val", "test")},
        },
        "seed": settings.seed,
        "reading": settings.method.reading,
        "frozen_encoder": settings.encoder.frozen,
        "patterns": graph.n_patterns,
        "vigilance": clusters["vigilance"],
        "hierarchy": {
            "dominated_patterns": int(graph.dominated.sum()),
            "mixed_patterns": int((~graph.dominated).sum()),
            "outliers": clusters["outliers"],
            **dict(zip(LEVEL_NAMES, levels.shares, strict=True)),
            "terciles": levels.terciles,
            "fallback_classes": [train.label_space.class_names[k] for k in fallback_classes(graph)],
        },
        "test": _figures(predictions, test.membership, test.label_space, unseen),
        "val": _figures(answers["train", "val"], val_labels, test.label_space, unseen),
        "classes": _by_class(predictions.plain, test.membership, test.label_space, unseen),
        "passes": {"method": _passes(context, ("pretrain", "features", "train"))},
        "epochs": {"pretrain": len(run.facts("pretrain")["history"]), "train": settings.train.epochs},
        "weights": {
            name: getattr(settings.method, f"weight_{name}")
            for name in ("plain", "graph", "negative", "inter_class", "attract")
        },
        "leak_check": {
            "blank_image_accuracy": leak,
            "largest_class_share": _largest_share(val_labels) if len(val) else None,
            "graph_head_training_accuracy": run.facts("train")["history"][-1]["graph_accuracy"],
        },
    }
    control = None
    if has_control:
        control = answers["control", "test"].plain
        metrics["control"] = {
            split: _of_head(answers["control", split].plain, labels, test.label_space, unseen)
            for split, labels in (("test", test.membership), ("val", val_labels))
        }
        metrics["passes"]["control"] = _passes(context, ("pretrain", "control"))
        metrics["difference"] = _difference(predictions.plain, control, test, context)
    with run.writing("evaluate", context.inputs) as folder:
        pq.write_table(_table(test, predictions, control), folder / "predictions.parquet")
        (folder / "metrics.json").write_text(json.dumps(metrics, sort_keys=True, allow_nan=False))
    run.write_json("metrics.json", metrics)


@functools.cache
def _opened(uri: str, model: str, file: str) -> tuple[Classifier, ImageTable]:
    torch.set_num_threads(THREADS)
    run = RunDirectory(uri)
    return Classifier(run.open(model)), ImageTable(run.open("images") / file)


def predict_rows(uri: str, model: str, file: str, rows: I64) -> Predictions:
    """One task: what a model of the run answers to images of a table; no label is read."""
    classifier, table = _opened(uri, model, file)
    size = classifier.card.batch_size
    parts = [classifier.predict(table.pixels(rows[n : n + size])) for n in range(0, len(rows), size)]
    return _joined(parts, len(classifier.class_names))


def _answers(
    context: StageContext, models: tuple[str, ...], rows: dict[str, I64]
) -> dict[tuple[str, str], Predictions]:
    """The predictions of each model for each split, from Ray actors over blocks of images."""
    uri, files = str(context.run.path), {"test": "test.arrow", "val": "train.arrow"}
    cuts = {split: [some[n : n + BLOCK] for n in range(0, len(some), BLOCK)] for split, some in rows.items()}
    tasks = [(uri, model, files[split], part) for model in models for split in rows for part in cuts[split]]
    with ray_session(context.ray_slots), Progress("evaluate", total=_images(tasks), unit="images") as progress:
        pool = ActorPool(min(context.settings.evaluate.actors, max(len(tasks), 1)))

        def show(number: int) -> None:
            progress.update(len(tasks[number][3]))
            passed("evaluate.block")

        results = iter(pool.map(predict_rows, tasks, show))
        pool.close()
    n_classes = ImageTable(context.run.open("images") / "test.arrow").label_space.n_classes
    return {
        (model, split): _joined([next(results) for _ in cuts[split]], n_classes) for model in models for split in rows
    }


def _images(tasks: Sequence[tuple[str, str, str, I64]]) -> int:
    return sum(len(rows) for _, _, _, rows in tasks)


def _joined(parts: Sequence[Predictions], n_classes: int) -> Predictions:
    """Predictions of consecutive blocks -> of all of them; of no block, of no image."""
    if not parts:
        nothing = np.zeros((0, n_classes), np.float32)
        return Predictions(nothing, nothing, nothing)
    plain = np.concatenate([part.plain for part in parts])
    graph = [part.graph for part in parts if part.graph is not None]
    mean = [part.mean for part in parts if part.mean is not None]
    return Predictions(plain, np.concatenate(graph) if graph else None, np.concatenate(mean) if mean else None)


def _cannot_answer(predictions: Predictions, unseen: I64) -> None:
    """Classes that training never saw get probability 0: an image of such a class is answered wrongly."""
    for values in (predictions.plain, predictions.graph, predictions.mean):
        if values is not None:
            values[:, unseen] = 0


def _heads(predictions: Predictions) -> dict[str, F32]:
    heads = {"plain": predictions.plain, "graph": predictions.graph, "mean": predictions.mean}
    return {head: values for head, values in heads.items() if values is not None}


def _of_head(scores: F32, membership: Membership, space: LabelSpace, unseen: I64) -> Any:
    """Accuracy as a fraction, or the figures of multi-label classification."""
    if not space.multi_label:
        return measures.top_accuracy(scores, membership)
    precisions = ranking.average_precisions(scores, membership)
    precisions[unseen] = np.where(np.isnan(precisions[unseen]), np.nan, 0.0)
    figures = {"mAP": ranking.mean_of_known(precisions)}
    for k in (1, ranking.K_BEST):
        figures[f"P@{k}"], figures[f"R@{k}"] = ranking.precision_recall_at(scores, membership, k)
    return figures


def _figures(predictions: Predictions, membership: Membership, space: LabelSpace, unseen: I64) -> dict[str, Any]:
    return {head: _of_head(values, membership, space, unseen) for head, values in _heads(predictions).items()}


def _by_class(scores: F32, membership: Membership, space: LabelSpace, unseen: I64) -> dict[str, Any]:
    """The plain head by class: accuracy and confusion matrix, or average precision; None where a class has no image."""
    found: dict[str, Any] = {"names": list(space.class_names)}
    if space.multi_label:
        values = ranking.average_precisions(scores, membership)
        values[unseen] = np.where(np.isnan(values[unseen]), np.nan, 0.0)
        return found | {"average_precision": [None if np.isnan(v) else float(v) for v in values]}
    if space.n_classes > measures.CONFUSION_CLASSES:
        return found | {"accuracy": None, "confusion": None}
    matrix = measures.confusion(scores, membership)
    accuracies = measures.class_accuracies(matrix)
    return found | {
        "accuracy": [None if np.isnan(v) else float(v) for v in accuracies],
        "confusion": matrix.tolist(),
    }


def _difference(method: F32, control: F32, test: ImageTable, context: StageContext) -> dict[str, float]:
    samples, seed = context.settings.evaluate.bootstrap_samples, context.settings.seed
    if test.label_space.multi_label:
        found = intervals.paired_bootstrap_map(method, control, test.membership, samples, seed)
    else:
        ours, theirs = (measures.top_hits(scores, test.membership) for scores in (method, control))
        found = intervals.paired_bootstrap(ours, theirs, samples, seed)
    return {"value": found.value, "low": found.low, "high": found.high}


def _largest_share(membership: Membership) -> float:
    """The share of images that carry the most frequent label."""
    return float(np.bincount(membership.indices, minlength=membership.shape[1]).max() / membership.shape[0])


def _passes(context: StageContext, stages: tuple[str, ...]) -> dict[str, int]:
    total = Passes()
    for stage in stages:
        total += Passes(**context.run.facts(stage)["passes"])
    return {"backward": total.backward, "forward": total.forward}


def _table(test: ImageTable, predictions: Predictions, control: F32 | None) -> pa.Table:
    """Ids, true classes and what each head answered: its most probable class, or (several labels) its five best."""
    names, several = np.array(test.label_space.class_names), test.label_space.multi_label
    lists = label_lists(test.membership)
    columns: dict[str, Any] = {"id": test.ids}
    if several:
        columns["labels"] = pa.array([names[row].tolist() for row in lists], pa.list_(pa.string()))
    else:
        columns["label"] = pa.array(names[[row[0] for row in lists]])
    heads = _heads(predictions) | ({} if control is None else {"control": control})
    for head, values in heads.items():
        if several:
            best = np.argsort(-values, axis=1, kind="stable")[:, : ranking.K_BEST]
            columns[head] = pa.array(names[best].tolist(), pa.list_(pa.string()))
            columns[f"{head}_probability"] = pa.array(np.take_along_axis(values, best, axis=1).tolist())
        else:
            columns[head] = pa.array(names[values.argmax(axis=1)])
            columns[f"{head}_probability"] = pa.array(values.max(axis=1))
    return pa.table(columns)
