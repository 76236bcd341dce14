"""Which stages a run has: the control's, unless it would be the training of the method's plain head once more."""

from __future__ import annotations

from typing import Any

import pytest

from csrms_dist.encoders.settings import EncoderSettings
from csrms_dist.errors import ConfigError
from csrms_dist.losses.classification import PlainHeadLoss
from csrms_dist.methods.known import CONTROLS
from csrms_dist.methods.protocol import MethodSpec
from csrms_dist.methods.settings import MethodSettings
from csrms_dist.training.recipe import CONTROL, Recipe
from ray_jobs.pipeline import prepare
from ray_jobs.settings import RunSettings, settings_from
from ray_jobs.stages.table import fingerprints, needed_for, stages_of

OWN = "tests.unit.ray_jobs.stages.test_table"
FIXED: dict[str, Any] = {"frozen": True, "adapter": "none"}


class Mine(PlainHeadLoss):
    """A loss term of the user's own."""


OTHER = MethodSpec(model="csrms_dist.methods.plain:make", build=f"{OWN}:build")
"""A control of the user's own."""


@pytest.mark.parametrize(
    ("section", "same"),
    [
        ({"encoder": FIXED}, True),
        ({"encoder": {"frozen": True}}, False),
        ({"encoder": {"frozen": True, "adapter": "mlp"}}, False),
        ({"encoder": FIXED, "method": {"reading": "paper"}}, True),
        ({"encoder": FIXED, "method": {"terms": {f"{OWN}:Mine": 0.0}}}, True),
        ({}, False),
        ({"encoder": FIXED, "method": {"curriculum": "cosine"}}, True),
        ({"encoder": FIXED, "method": {"curriculum": "cosine", "curriculum_on": "everything"}}, False),
        ({"pretrain": {"epochs": 0}}, False),
        ({"encoder": FIXED, "evaluate": {"control": f"{OWN}:OTHER"}}, False),
        *(({"encoder": FIXED, "evaluate": {"control": name}}, False) for name in CONTROLS if name != "plain"),
        ({"encoder": FIXED, "method": {"terms": {f"{OWN}:Mine": 0.1}}}, False),
        ({"encoder": FIXED, "method": {"weight_plain": 0.0}}, False),
    ],
)
def test_the_control_is_a_stage_where_it_is_another_training(section: dict[str, Any], same: bool) -> None:
    settings: RunSettings = settings_from(section)
    assert settings.recipe.control_is_plain_head == same
    names = [stage.name for stage in stages_of(settings, control=True)]
    assert (CONTROL in names) == (not same)
    assert all(CONTROL not in stage.requires for stage in stages_of(settings, control=True)) == same


def test_a_method_that_knows_nothing_of_it_gets_its_control() -> None:
    assert not Recipe(encoder=EncoderSettings(**FIXED), method=MethodSettings()).control_is_plain_head


def test_asking_for_the_stage_says_what_leaves_it_out() -> None:
    settings = settings_from({"encoder": FIXED})
    with pytest.raises(ConfigError, match="--no-control or fixed features the control"):
        needed_for(CONTROL, stages_of(settings, control=True))
    assert (
        prepare(settings, "anywhere", (), control=True).inputs
        == prepare(settings, "anywhere", (), control=False).inputs
    )


def test_another_adapter_trains_anew_and_leaves_what_came_before() -> None:
    found = []
    for adapter in ("none", "mlp"):
        settings = settings_from(
            {"encoder": {"frozen": True, "adapter": adapter}, "evaluate": {"control": f"{OWN}:OTHER"}}
        )
        found.append(fingerprints(stages_of(settings, control=True), settings))
    changed = {name for name, value in found[0].items() if found[1][name] != value}
    assert changed == {"train", "control", "evaluate"}


def test_batches_of_the_methods_own_leave_the_control_as_it_is() -> None:
    def of(batches: str) -> tuple[str, str]:
        settings = settings_from({"train": {"batches": batches}})
        found = fingerprints(stages_of(settings, control=True), settings)
        return found["train"], found[CONTROL]

    uniform, structural, balanced = of("uniform"), of("subgraph"), of("class_balanced")
    assert uniform[1] == structural[1] != balanced[1]
    assert len({uniform[0], structural[0], balanced[0]}) == 3


def test_the_device_of_the_clustering_decides_nothing() -> None:
    found = []
    for device in ("auto", "cpu", "cuda"):
        settings = settings_from({"cluster": {"device": device}})
        found.append(fingerprints(stages_of(settings, control=True), settings))
    assert found[0] == found[1] == found[2]
