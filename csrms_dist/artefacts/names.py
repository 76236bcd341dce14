"""The names of folders and files in a run directory, each spelt here alone.

What a library module writes into a folder that it is given (a feature table, a snapshot, a saved model), it names
itself.
"""

from __future__ import annotations

RECORD, METRICS, LOG = "run.json", "metrics.json", "log.jsonl"
TRAIN_IMAGES, TEST_IMAGES, REJECTED = "train.arrow", "test.arrow", "rejected.parquet"
SNAPSHOT = "snapshot"
HELD_OUT = "held_out"
CANDIDATES = "candidates"
MADE_BY = {CANDIDATES: "train"}
"""The stage of an artefact that has another name than its stage."""
REFRESHED, REFRESHED_FACTS, CLUSTER = "refreshed", "refreshed.json", "cluster"
ENCODER = "encoder.safetensors"
PREDICTIONS = "predictions.parquet"
STAMP = "stamp.json"
STORE, CHECKPOINTS, LOGGED = "store", ".checkpoints", ".loggers.json"
