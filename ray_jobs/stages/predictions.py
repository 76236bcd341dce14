"""The model's answers in the graph: an addition to the run, made by stage evaluate, after all answers are there."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa

from csrms_dist.artefacts.fingerprints import fingerprint
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.evaluation.figures import TEST, Answers, rows_of
from csrms_dist.metrics.ranking import K_BEST
from csrms_dist.training.recipe import TRAIN
from graphstore.predictions import CONFUSED_WITH, KIND, PREDICTED, confused, predicted, stored_keys
from graphstore.rows import Rows, content_of
from graphstore.store import Addition
from ray_jobs.places import store_of
from ray_jobs.stages.context import StageContext

ADDITION = "addition"
"""The fact of evaluate's stamp: the key of what it added, '' where there was nothing to add."""


def add_predictions(context: StageContext, answers: Answers) -> str:
    """Add what the plain head answered to the run's graph; the key of the addition, '' where there is nothing to add.

    PREDICTED of the test and validation images that the graph holds: the class, of several labels the K_BEST first.
    CONFUSED_WITH of all test images with one label. The fingerprint covers the rows: weights that were trained anew may
    differ in the last bits, and an addition never changes.
    """
    run, contents = context.run.facts("graph")["run"], context.contents
    test = contents.test_images
    k = K_BEST if test.label_space.multi_label else 1
    rows: dict[str, pa.Table] = {}
    with store_of(context.run) as store:
        tables = []
        for split, places in rows_of(contents).items():
            ids = (test if split == TEST else contents.train_images).ids.take(pa.array(places))
            keys = stored_keys(store, run, ids.to_pylist(), split)
            tables.append(predicted(run, keys, answers[TRAIN, split].plain, k))
        rows[PREDICTED] = pa.concat_tables(tables)
        if not test.label_space.multi_label:
            labelled = np.flatnonzero(np.diff(test.membership.indptr))
            found = answers[TRAIN, TEST].plain[labelled].argmax(axis=1)
            rows[CONFUSED_WITH] = confused(run, test.membership.indices.astype(np.int64), found)
        given = [(name, Rows.of(table)) for name, table in rows.items() if table.num_rows]
        if not given:
            return ""
        digest = fingerprint(context.inputs, content_of(given))
        params = {"method": context.settings.method.name, "k": k}
        return store.add(Addition(run, KIND, digest, rows, params, int(time.time() * 1000)))


def is_held(run: RunDirectory) -> bool:
    """Whether the store still has what the stage added, whole."""
    key = run.facts("evaluate").get(ADDITION)
    if not key:
        return key == ""
    with store_of(run) as store:
        return any(
            added.key == key and added.status == "ready"
            for info in store.runs()
            if key.startswith(f"{info.key}:")
            for added in store.additions(info.key)
        )
