"""The optional packages that stages need: a missing one is named before the first stage, not after an hour."""

from __future__ import annotations

import os
from collections.abc import Iterator

from csrms_dist.encoders.weights import check_weights
from csrms_dist.errors import check_installed
from csrms_dist.losses.metric_learning import PACKAGE
from csrms_dist.methods.known import control_settings
from csrms_dist.methods.protocol import Stage
from csrms_dist.methods.stages import CLUSTER, CONTROL, EVALUATE, FEATURES, GRAPH, PRETRAIN, TRAIN
from ray_jobs.on_ray.session import uses_ray
from ray_jobs.settings import RunSettings, most


def check_needs(stages: list[Stage], settings: RunSettings) -> None:
    """Raise MissingDependencyError, with the command that installs it, for the first package that is not there.

    Also what `check_weights` raises. Nothing is imported.
    """
    names = [stage.name for stage in stages]
    if PRETRAIN.name in names:
        check_weights(settings.encoder)
    for stage in names:
        for package in _packages(stage, settings):
            check_installed(package)


def _packages(stage: str, settings: RunSettings) -> Iterator[str]:
    workers = {
        PRETRAIN.name: most(settings.pretrain.workers),
        FEATURES.name: 1 if settings.features.path else settings.features.actors,
        CLUSTER.name: settings.cluster.actors,
        TRAIN.name: most(settings.train.workers),
        CONTROL.name: most(settings.train.workers),
        EVALUATE.name: settings.evaluate.actors,
    }.get(stage, 1)
    if stage != GRAPH.name and isinstance(workers, int) and uses_ray(workers):
        yield "ray"
    if stage == GRAPH.name:
        yield "neo4j" if os.environ.get("NEO4J_URI") else "ladybug"
    if stage == TRAIN.name and settings.recipe.edge_types:
        yield from ("dgl", "packaging", "pandas")
    if stage == TRAIN.name:
        yield from settings.method.packages()
    if stage == CONTROL.name:
        yield from control_settings(settings.evaluate.control).packages()
    if stage == PRETRAIN.name and settings.pretrain.without_labels and settings.pretrain.epochs > 0:
        yield PACKAGE
