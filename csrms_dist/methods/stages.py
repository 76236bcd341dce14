"""The stages that methods share. A method lists them in an order of its own, changed (`dataclasses.replace`) or not."""

from __future__ import annotations

from dataclasses import replace

from csrms_dist.methods.protocol import Stage

_JOBS = "ray_jobs.stages"
_ESTIMATES = "ray_jobs.plan.estimates"
_TRAIN_SETTINGS = ("seed", "encoder", "train")
# All of the section but the adapter, which stands on features that are there already.
_ENCODER = ("encoder.name", "encoder.weights", "encoder.frozen")

IMAGES = Stage(
    "images",
    f"{_JOBS}.images:execute",
    settings=("data",),
    outside=f"{_JOBS}.outside:images",
    estimate=f"{_ESTIMATES}:images",
    format=4,
)
PRETRAIN = Stage(
    "pretrain",
    f"{_JOBS}.pretrain:execute",
    requires=("images",),
    settings=("seed", *_ENCODER, "pretrain"),
    outside=f"{_JOBS}.outside:weights",
    estimate=f"{_ESTIMATES}:pretrain",
    format=3,
)
FEATURES = Stage(
    "features",
    f"{_JOBS}.features:execute",
    requires=("images", "pretrain"),
    settings=(*_ENCODER, "features"),
    estimate=f"{_ESTIMATES}:features",
    format=3,
)
GIVEN_FEATURES = Stage(
    "features",
    f"{_JOBS}.features:import_vectors",
    settings=("features",),
    outside=f"{_JOBS}.outside:vectors",
    estimate=f"{_ESTIMATES}:given_vectors",
    format=4,
)
CLUSTER = Stage(
    "cluster",
    f"{_JOBS}.cluster:execute",
    requires=("features",),
    settings=("cluster",),
    estimate=f"{_ESTIMATES}:cluster",
    format=3,
)
GRAPH = Stage(
    "graph",
    f"{_JOBS}.graph:execute",
    requires=("features", "cluster"),
    settings=("graph.dominance_threshold", "sampling.n_positives"),
    held=f"{_JOBS}.graph:is_held",
    estimate=f"{_ESTIMATES}:graph",
    beside=("store",),
    format=3,
)
TRAIN = Stage(
    "train",
    f"{_JOBS}.train:execute",
    requires=("images", "pretrain", "features", "graph"),
    settings=(*_TRAIN_SETTINGS, "sampling", "method"),
    estimate=f"{_ESTIMATES}:train",
    format=4,
    beside=("candidates",),
    needs_labels=True,
)
CONTROL = Stage(
    "control",
    f"{_JOBS}.control:execute",
    requires=("images", "pretrain", "features"),
    settings=(*_TRAIN_SETTINGS, "evaluate.control"),
    estimate=f"{_ESTIMATES}:control",
    format=3,
    needs_labels=True,
)
EVALUATE = Stage(
    "evaluate",
    f"{_JOBS}.evaluate:execute",
    requires=("images", "pretrain", "features", "cluster", "graph", "train", "control"),
    settings=("seed", "evaluate", "graph", "sampling", "method"),
    held=f"{_JOBS}.predictions:is_held",
    estimate=f"{_ESTIMATES}:evaluate",
    format=4,
    needs_labels=True,
)

BY_ITSELF = (
    IMAGES,
    PRETRAIN,
    FEATURES,
    replace(TRAIN, requires=("images", "pretrain", "features"), settings=(*_TRAIN_SETTINGS, "method"), beside=()),
    replace(EVALUATE, requires=("images", "pretrain", "features", "train"), settings=("seed", "evaluate", "method")),
)
"""Of a control that is trained by itself: no patterns, no graph, nothing beside it. What has these stages is one."""
CLASSIFICATION = (IMAGES, PRETRAIN, FEATURES, CLUSTER, GRAPH, TRAIN, CONTROL, EVALUATE)
GIVEN_VECTORS = (GIVEN_FEATURES, CLUSTER, GRAPH)
