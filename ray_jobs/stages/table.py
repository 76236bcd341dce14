"""The table of stages, derived from the methods: which a run has, in which order, and what decides each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from csrms_dist.artefacts.fingerprints import fingerprint
from csrms_dist.errors import ConfigError
from csrms_dist.methods.known import METHODS, method, part
from csrms_dist.methods.protocol import MethodSpec, Stage
from csrms_dist.methods.stages import FEATURES, PRETRAIN
from csrms_dist.training.orders import UNIFORM

if TYPE_CHECKING:
    from ray_jobs.settings import RunSettings

# Keys that change who computes or what is kept, not what comes out: left out of fingerprints.
SCHEDULE_KEYS = ("actors", "keep_runs", "checkpoint_minutes", "checkpoints_kept", "stall_seconds")

CONTROL, TRAIN = "control", "train"


def commands() -> Mapping[str, Stage]:
    """The stages of all methods by name, each once: every one is a command too."""
    found: dict[str, Stage] = {}
    for name in METHODS:
        for stage in method(name).stages:
            found.setdefault(stage.name, stage)
    return found


def stages_of(settings: RunSettings, *, control: bool) -> tuple[Stage, ...]:
    """The stages of this run, in an order in which each follows what it requires.

    With `features.path` there are no images: features, cluster and graph. Without control its stage is left out; so it
    is where the control would be the same training as the method's plain head.
    """
    spec: MethodSpec = method(settings.method.name)
    if settings.features.path:
        if not spec.given_vector_stages:
            raise ConfigError(
                "method.name", got=f"{settings.method.name} with features.path",
                expected="a method that finds patterns",
                remedy="leave method.name or features.path out: vectors without images train nothing",
            )  # fmt: skip
        return spec.given_vector_stages
    if settings.recipe.by_itself and not settings.encoder.frozen:
        return _without(spec.stages, FEATURES.name)  # the images are what it trains on
    if control and not settings.recipe.control_is_plain_head:
        if settings.method.encodings(settings.sampling) == 1:
            return spec.stages
        # The control follows the method where that one's passes are known at its end alone.
        return tuple(
            replace(stage, requires=(*stage.requires, TRAIN)) if stage.name == CONTROL else stage
            for stage in spec.stages
        )
    return _without(spec.stages, CONTROL)


def _without(stages: tuple[Stage, ...], left_out: str) -> tuple[Stage, ...]:
    """The stages but one, which nobody requires then."""
    return tuple(
        replace(stage, requires=tuple(name for name in stage.requires if name != left_out))
        for stage in stages
        if stage.name != left_out
    )


def needed_for(target: str, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """The target and everything that it requires, in order."""
    by_name = {stage.name: stage for stage in stages}
    if target not in by_name:
        raise ConfigError(
            f"the stage {target}", got="a configuration without that stage", expected=f"one of {', '.join(by_name)}",
            remedy="features.path leaves out what needs images, --no-control or fixed features the control, "
            "a control as method.name patterns and graph",
        )  # fmt: skip
    wanted = {target}
    for stage in reversed(stages):
        if stage.name in wanted:
            wanted.update(stage.requires)
    return tuple(stage for stage in stages if stage.name in wanted)


def fingerprints(stages: tuple[Stage, ...], settings: RunSettings) -> Mapping[str, str]:
    """For each stage the fingerprint of all its inputs: settings, earlier stages, files from outside."""
    found: dict[str, str] = {}
    for stage in stages:
        values = {key: settings.select(key) for key in stage.settings}
        for value in values.values():
            if isinstance(value, dict):
                for key in SCHEDULE_KEYS:
                    value.pop(key, None)
        if stage.name == CONTROL and settings.recipe.order(CONTROL) is not settings.recipe.order(TRAIN):
            values["train"]["batches"] = UNIFORM  # those of the method are its own
        if stage.name == PRETRAIN.name and settings.encoder.frozen:
            del values["pretrain"]  # it trains nothing
            if settings.encoder.weights:
                del values["seed"]
        outside = part(stage.outside)(settings) if stage.outside else ""
        earlier = [found[name] for name in stage.requires]
        found[stage.name] = fingerprint(stage.format, stage.name, values, earlier, outside)
    return found
