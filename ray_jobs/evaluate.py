"""Stage evaluate: label-free inference, then and only then the labels; the test set is read once."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from csrms_dist.datasets.image_table import ImageTable
from csrms_dist.hierarchy import snapshot
from csrms_dist.hierarchy.difficulty import LEVEL_NAMES, difficulty_levels
from csrms_dist.inference import Classifier, Predictions
from csrms_dist.labels import single_labels
from csrms_dist.leak_check import blank_image_accuracy
from csrms_dist.methods.csrms import fallback_classes
from csrms_dist.metrics import accuracy, correct, paired_bootstrap
from csrms_dist.progress import Progress
from csrms_dist.training.budget import Passes
from ray_jobs.stage import StageContext
from ray_jobs.trainer import THREADS

METRICS_SCHEMA = 1


def execute(context: StageContext) -> None:
    """Write evaluate/predictions.parquet and the run's metrics.json (docs/metrics.md)."""
    run, settings = context.run, context.settings
    torch.set_num_threads(THREADS)
    images = run.open("images")
    test, train = ImageTable(images / "test.arrow"), ImageTable(images / "train.arrow")
    val = train.indices("val")
    method = Classifier(run.open("train"))
    has_control = run.stamp("control") is not None and "control" in context.requires
    control = Classifier(run.open("control")) if has_control else None
    graph = snapshot.load(run.open("graph") / "snapshot")
    with Progress("evaluate", total=2 * len(test) + 2 * len(val), unit="images") as progress:
        test_pixels = test.pixels(np.arange(len(test)))
        predictions = method.predict(test_pixels)
        progress.update(len(test))
        control_test = control.predict(test_pixels).plain if control else None
        progress.update(len(test))
        val_pixels = train.pixels(val)
        val_predictions = method.predict(val_pixels)
        control_val = control.predict(val_pixels).plain if control else None
        progress.update(len(val))
        leak = None
        if len(val):
            bank = np.load(run.open("train") / "bank.npy")
            leak = blank_image_accuracy(
                method, val_pixels, train.membership[val], graph, bank, settings.sampling, settings.seed
            )
        progress.update(len(val))
    # Everything above was found without a label of the test set.
    labels, val_labels = single_labels(test.membership), single_labels(train.membership[val])
    facts, clusters = run.facts("images"), run.facts("cluster")
    levels = difficulty_levels(graph, settings.graph.difficulty_threshold)
    metrics: dict[str, Any] = {
        "schema": METRICS_SCHEMA,
        "dataset": {
            "name": train.name,
            "content_hash": train.content_hash,
            "classes": train.label_space.n_classes,
            **{split: facts[split] for split in ("train", "val", "test")},
        },
        "seed": settings.seed,
        "reading": settings.method.reading,
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
        "test": _accuracies(predictions, labels),
        "val": _accuracies(val_predictions, val_labels),
        "passes": {"method": _passes(context, ("pretrain", "features", "train"))},
        "epochs": {"pretrain": settings.pretrain.epochs, "train": settings.train.epochs},
        "weights": {
            name: getattr(settings.method, f"weight_{name}")
            for name in ("plain", "graph", "negative", "inter_class", "attract")
        },
        "leak_check": {
            "blank_image_accuracy": leak,
            "largest_class_share": float(np.bincount(val_labels).max() / len(val)) if len(val) else None,
            "graph_head_training_accuracy": run.facts("train")["history"][-1]["graph_accuracy"],
        },
    }
    if control_test is not None and control_val is not None:
        metrics["control"] = {"test": accuracy(control_test, labels), "val": accuracy(control_val, val_labels)}
        metrics["passes"]["control"] = _passes(context, ("pretrain", "control"))
        difference = paired_bootstrap(
            correct(predictions.plain, labels),
            correct(control_test, labels),
            settings.evaluate.bootstrap_samples,
            settings.seed,
        )
        metrics["difference"] = {"value": difference.value, "low": difference.low, "high": difference.high}
    with run.writing("evaluate", context.inputs) as folder:
        pq.write_table(_table(test, predictions, control_test), folder / "predictions.parquet")
        (folder / "metrics.json").write_text(json.dumps(metrics, sort_keys=True, allow_nan=False))
    run.write_json("metrics.json", metrics)


def _accuracies(predictions: Predictions, labels: np.ndarray[Any, np.dtype[np.int64]]) -> dict[str, float]:
    heads = {"plain": predictions.plain, "graph": predictions.graph, "mean": predictions.mean}
    return {head: accuracy(values, labels) for head, values in heads.items() if values is not None}


def _passes(context: StageContext, stages: tuple[str, ...]) -> dict[str, int]:
    total = Passes()
    for stage in stages:
        total += Passes(**context.run.facts(stage)["passes"])
    return {"backward": total.backward, "forward": total.forward}


def _table(test: ImageTable, predictions: Predictions, control: Any) -> pa.Table:
    """Ids, true classes and what each head answered."""
    names = np.array(test.label_space.class_names)
    columns = {"id": test.ids, "label": pa.array(names[single_labels(test.membership)])}
    heads = {"plain": predictions.plain, "graph": predictions.graph, "mean": predictions.mean, "control": control}
    for head, values in heads.items():
        if values is not None:
            columns[head] = pa.array(names[values.argmax(axis=1)])
            columns[f"{head}_probability"] = pa.array(values.max(axis=1))
    return pa.table(columns)
