"""The one place that picks concrete classes: stages to jobs, fingerprints, the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from csrms_dist.artefacts.fingerprints import file_fingerprint, fingerprint
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.datasets.layouts.choose import data_fingerprint
from csrms_dist.errors import ConfigError
from csrms_dist.features.feature_table import FeatureTable
from csrms_dist.methods.csrms.method import GIVEN_VECTOR_STAGES, STAGES
from csrms_dist.methods.protocol import Stage
from ray_jobs.settings import RunSettings
from ray_jobs.stages.stage import StageContext

# Raised when a stage's artefact changes its meaning, so that an old run is made anew instead of misread.
FORMAT = 2

COMMANDS = tuple(stage.name for stage in STAGES)


def job_of(stage: str) -> Callable[[StageContext], None]:
    """The job of a stage: ray_jobs/stages/<stage>.py. Imported when it is needed, since some load Ray."""
    job: Callable[[StageContext], None] = import_module(f"ray_jobs.stages.{stage}").execute
    return job


def stages_of(settings: RunSettings, *, control: bool) -> tuple[Stage, ...]:
    """The stages of this run, in an order in which each follows what it requires.

    With `features.path` there are no images: features, cluster and graph. Without control its stage is left out.
    """
    if settings.features.path:
        return GIVEN_VECTOR_STAGES
    if control:
        return STAGES
    return tuple(
        Stage(stage.name, tuple(name for name in stage.requires if name != "control"), stage.settings)
        for stage in STAGES
        if stage.name != "control"
    )


def needed_for(target: str, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """The target and everything that it requires, in order."""
    by_name = {stage.name: stage for stage in stages}
    if target not in by_name:
        raise ConfigError(
            f"the stage {target}", got="a configuration without that stage", expected=f"one of {', '.join(by_name)}",
            remedy="features.path leaves out what needs images, --no-control the control",
        )  # fmt: skip
    wanted = {target}
    for stage in reversed(stages):
        if stage.name in wanted:
            wanted.update(stage.requires)
    return tuple(stage for stage in stages if stage.name in wanted)


# Keys that change who computes, not what: left out of fingerprints.
SCHEDULE_KEYS = ("actors",)


def fingerprints(stages: tuple[Stage, ...], settings: RunSettings) -> Mapping[str, str]:
    """For each stage the fingerprint of all its inputs: settings, earlier stages, files from outside."""
    found: dict[str, str] = {}
    for stage in stages:
        values = {key: settings.select(key) for key in stage.settings}
        for value in values.values():
            if isinstance(value, dict):
                for key in SCHEDULE_KEYS:
                    value.pop(key, None)
        outside = data_fingerprint(settings.data) if stage.name == "images" else ""
        if stage.name == "features" and settings.features.path:
            outside = file_fingerprint(settings.features.path)
        weights = Path(settings.encoder.weights).expanduser()
        if stage.name == "pretrain" and weights.is_file():
            outside = file_fingerprint(weights)
        found[stage.name] = fingerprint(FORMAT, stage.name, values, [found[name] for name in stage.requires], outside)
    return found


def has_labels(run: RunDirectory) -> bool:
    """Whether the feature table carries labels; without them there is no hierarchy."""
    return FeatureTable.load(run.open("features")).membership is not None
