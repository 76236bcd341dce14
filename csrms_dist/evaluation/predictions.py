"""Predictions as a table: what each head answered for each test image, under the user's own ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from csrms_dist.basics.arrays import F32, Matrix
from csrms_dist.datasets.image_table import ImageTable
from csrms_dist.evaluation.classifier import Predictions
from csrms_dist.labels import label_lists
from csrms_dist.metrics.ranking import K_BEST


def prediction_table(test: ImageTable, predictions: Predictions, control: F32 | None) -> pa.Table:
    """Ids, true classes and what each head answered: its most probable class, or (several labels) its five best.

    control: (N, K) probabilities of the control, where there is one.
    """
    names, several = np.array(test.label_space.class_names), test.label_space.multi_label
    lists = label_lists(test.membership)
    columns: dict[str, Any] = {"id": test.ids}
    if several:
        columns["labels"] = pa.array([names[row].tolist() for row in lists], pa.list_(pa.string()))
    else:
        columns["label"] = pa.array(names[[row[0] for row in lists]])
    heads = dict(predictions.heads) | ({} if control is None else {"control": control})
    for head, values in heads.items():
        columns |= head_columns(head, values, names, several=several)
    return pa.table(columns)


def head_columns(head: str, values: F32, names: Matrix, *, several: bool) -> dict[str, Any]:
    """(N, K) probabilities of a head -> its most probable class and that probability, or lists of its five best."""
    if several:
        best = np.asarray(np.argsort(-values, axis=1, kind="stable")[:, :K_BEST])
        return {
            head: pa.array(names[best].tolist(), pa.list_(pa.string())),
            f"{head}_probability": pa.array(np.take_along_axis(values, best, axis=1).tolist()),
        }
    return {head: pa.array(names[values.argmax(axis=1)]), f"{head}_probability": pa.array(values.max(axis=1))}
