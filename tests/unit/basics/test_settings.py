"""Legal values are one table: each default is legal, each illegal value is refused by name with the legal interval."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.art.settings import ClusterSettings
from csrms_dist.basics.lookup import nearest
from csrms_dist.basics.settings import Settings, check_value, describe, setting
from csrms_dist.errors import ConfigError
from csrms_dist.hierarchy.settings import GraphSettings
from csrms_dist.training.settings import OptimiserSettings, TrainSettings
from ray_jobs.settings import SECTIONS as SECTION_KINDS
from ray_jobs.settings import load_settings, settings_from
from ray_jobs.stages.table import SCHEDULE_KEYS, fingerprints, stages_of

SECTIONS = list(SECTION_KINDS.values())
FIELDS = [(section, spec) for section in SECTIONS for spec in fields(section)]
NAMES = [f"{section.section()}.{spec.name}" for section, spec in FIELDS]


@dataclass(frozen=True)
class SampleSettings(Settings):
    """One field of each kind that the core itself does not use, and open ends of both sorts."""

    switch: bool = setting(False, doc="")
    text: str = setting("", doc="")
    positive: float = setting(1.0, "(0, inf)", doc="")
    natural: int = setting(0, "[0, inf)", doc="")
    mode: int | str = setting("auto", "[1, 8]", words=("auto", "all"), doc="")


def interval(spec: dataclasses.Field[Any]) -> tuple[float, float, bool, bool]:
    legal = spec.metadata["legal"]
    low, high = legal[1:-1].split(",")
    return float(low), float(high), legal[0] == "[", legal[-1] == "]"


def illegal_values(spec: dataclasses.Field[Any]) -> list[Any]:
    """Values on the wrong side of each end, and values of the wrong kind, of any field."""
    wrong: list[Any] = [None, [], {}, [1], object(), 1 + 2j, b"x"]
    if not spec.metadata["legal"]:
        if "bool" in str(spec.type):
            return [*wrong, 1, 1.0, 0, "true", "no"]
        return [*wrong, 1, 1.0, True, *(["no-such-word"] if spec.metadata["words"] else [])]
    low, high, low_closed, high_closed = interval(spec)
    whole = "int" in str(spec.type)
    step = 1 if whole else 1e-9
    wrong += [low - step if low_closed else low, high + step if high_closed else high]
    wrong += [math.nan, math.inf, -math.inf, 10**400, -(10**400), "no-such-word", "0.5", "1", True, False]
    return [*wrong, low + 0.5] if whole else wrong


def test_the_table_is_complete() -> None:
    assert len(SECTIONS) >= 10
    assert all("legal" in spec.metadata for _, spec in FIELDS), "every field goes through setting()"
    assert all(spec.metadata["doc"] for _, spec in FIELDS), "every field has its line of documentation"
    assert all(dataclasses.fields(section) and section.__dataclass_params__.frozen for section in SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_defaults_are_legal_and_kept(section: type[Settings]) -> None:
    made = section()
    for spec in fields(section):
        assert getattr(made, spec.name) == spec.default
        assert type(getattr(made, spec.name)) is type(spec.default)
    assert section.from_mapping({}) == made
    assert section.from_mapping(dataclasses.asdict(made)) == made


@pytest.mark.parametrize(("section", "spec"), FIELDS, ids=NAMES)
def test_illegal_values_name_the_key_and_the_legal_values(
    section: type[Settings], spec: dataclasses.Field[Any]
) -> None:
    for value in illegal_values(spec):
        with pytest.raises(ConfigError) as caught:
            section.from_mapping({spec.name: value})
        text = str(caught.value)
        assert text.startswith(f"{section.section()}.{spec.name}: got {value!r}, expected "), value
        assert describe(spec) in text
        assert spec.metadata["legal"] in text
        assert all(f"'{word}'" in text for word in spec.metadata["words"])


BESIDE = {("adapter", "mlp"): {"frozen": True}, ("objective", "contrastive"): {"augmentation": "contrastive"}}
"""Settings without which a word is refused."""


@pytest.mark.parametrize(("section", "spec"), FIELDS, ids=NAMES)
def test_the_ends_are_legal_exactly_when_closed(section: type[Settings], spec: dataclasses.Field[Any]) -> None:
    if not spec.metadata["legal"]:
        for word in spec.metadata["words"]:
            given = {spec.name: word, **BESIDE.get((spec.name, word), {})}
            assert getattr(section.from_mapping(given), spec.name) == word
        return
    low, high, low_closed, high_closed = interval(spec)
    for end, closed in ((low, low_closed), (high, high_closed)):
        if closed:
            assert getattr(section.from_mapping({spec.name: end}), spec.name) == end


@given(st.floats() | st.integers() | st.booleans() | st.text() | st.none() | st.fractions())
def test_whatever_is_accepted_is_legal_and_of_the_field_s_type(value: Any) -> None:
    for section, spec in FIELDS:
        try:
            kept = check_value(section, spec.name, value)
        except ConfigError:
            continue
        if kept in spec.metadata["words"] or not spec.metadata["legal"]:
            assert kept == value
            assert type(kept) is (bool if "bool" in str(spec.type) else str)
        else:
            low, high, low_closed, high_closed = interval(spec)
            assert low < kept < high or (kept == low and low_closed) or (kept == high and high_closed)
            assert type(kept) is (float if "float" in str(spec.type) else int)
            assert kept == pytest.approx(float(value), rel=1e-12)


@given(st.floats(0, 1))
def test_every_vigilance_of_the_interval_is_kept(value: float) -> None:
    assert ClusterSettings(vigilance=value).vigilance == value


def test_vigilance_above_one() -> None:
    with pytest.raises(ConfigError) as caught:
        ClusterSettings.from_mapping({"vigilance": 1.5})
    assert str(caught.value) == (
        "cluster.vigilance: got 1.5, expected a number in [0, 1] or 'auto'; change it in the configuration"
    )
    assert caught.value.exit_code == 2


def test_vigilance_and_n_patterns_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match=r"cluster\.vigilance and cluster\.n_patterns: got 0\.8 and 30") as caught:
        ClusterSettings(vigilance=0.8, n_patterns=30)
    assert "set one of them to auto" in str(caught.value)
    assert ClusterSettings(vigilance=0.8).n_patterns == "auto"
    assert ClusterSettings(n_patterns=30).vigilance == "auto"


@pytest.mark.parametrize(
    ("section", "key", "meant"),
    [
        (ClusterSettings, "vigilence", "vigilance"),
        (ClusterSettings, "rho", "choice"),
        (GraphSettings, "dominance", "dominance_threshold"),
        (TrainSettings, "batchsize", "batch_size"),
        (TrainSettings, 7, ""),
    ],
)
def test_an_unknown_key_names_the_nearest(section: type[Settings], key: Any, meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        section.from_mapping({key: 1})
    text = str(caught.value)
    assert f"unknown key {section.section()}.{key}; the nearest valid key is {section.section()}." in text
    named = text.rpartition(".")[2]
    assert named in {spec.name for spec in fields(section)}
    if key != "rho":
        assert named.startswith(meant)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_foreign_letter_anywhere_in_a_key_is_seen_through(section: type[Settings]) -> None:
    # Foreign, because n_egatives is as near to n_negatives as to negatives.
    valid = [spec.name for spec in fields(section)]
    assert "q" not in "".join(valid)
    for name in valid:
        for cut in range(len(name) + 1):
            assert nearest(name[:cut] + "q" + name[cut:], valid) == name


@pytest.mark.parametrize("text", ["0.1", "1e-3", "nan", "1"])
def test_numbers_as_text_are_refused_with_a_hint_about_yaml(text: str) -> None:
    with pytest.raises(ConfigError, match=r"optimiser\.lr: got '.*', expected a number in \(0, 10\]; .*without quotes"):
        OptimiserSettings.from_mapping({"lr": text})


def test_the_hint_is_right_about_yaml() -> None:
    assert OptimiserSettings.from_mapping(yaml.safe_load("lr: 1.0e-3")).lr == 1e-3
    with pytest.raises(ConfigError, match="with a point"):
        OptimiserSettings.from_mapping(yaml.safe_load("lr: 1e-3"))


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.float32(3), Fraction(3)])
def test_numbers_of_any_library_become_plain_ones(value: Any) -> None:
    kept = TrainSettings(epochs=value, warmup_epochs=value)
    assert (kept.epochs, type(kept.epochs)) == (3, int)
    assert (kept.warmup_epochs, type(kept.warmup_epochs)) == (3.0, float)


def test_fields_of_the_other_kinds() -> None:
    assert SampleSettings(switch=True, text="any", positive=1e300, natural=10**400, mode="all").mode == "all"
    for wrong in (
        {"switch": 1}, {"switch": "true"}, {"text": 1}, {"text": True}, {"positive": math.inf}, {"positive": 10**400},
        {"natural": math.inf}, {"natural": -1}, {"mode": "some"}, {"mode": 9}, {"mode": np.bool_(True)},
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=rf"sample\.{next(iter(wrong))}"):
            SampleSettings.from_mapping(wrong)


def test_describe_reads_as_a_sentence() -> None:
    texts = {spec.name: describe(spec) for spec in fields(SampleSettings)}
    assert texts == {
        "switch": "true or false",
        "text": "text",
        "positive": "a number in (0, inf)",
        "natural": "a whole number in [0, inf)",
        "mode": "a whole number in [1, 8] or one of 'auto', 'all'",
    }


def test_settings_are_frozen_and_checked_on_replacement() -> None:
    made = TrainSettings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.epochs = 3  # type: ignore[misc]
    assert dataclasses.replace(made, epochs=3).epochs == 3
    with pytest.raises(ConfigError, match=r"train\.epochs"):
        dataclasses.replace(made, epochs=0)


def test_a_number_of_workers_may_be_fewest_and_most() -> None:
    kind = SECTION_KINDS["train"]
    assert kind(workers=[1, 4]).workers == (1, 4)  # type: ignore[call-arg, attr-defined]
    assert kind(workers=[3, 3]).workers == 3  # type: ignore[call-arg, attr-defined]
    assert settings_from({"train": {"workers": [2, 4]}}).as_mapping()["train"]["workers"] == (2, 4)
    assert load_settings(None, ["train.workers=[1, 2]"]).train.workers == (1, 2)
    for wrong in ([4, 1], [0, 2], [1, 5000], [1, 2, 3], [1], ["1", "2"], [True, 2], "12", [1.5, 2]):
        with pytest.raises(ConfigError, match=r"train.workers: got .*, expected a whole number in \[1, 4096\]"):
            kind(workers=wrong)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match=r"train\.epochs"):
        TrainSettings(epochs=[1, 2])  # type: ignore[arg-type]


def test_when_checkpoints_are_written_redoes_nothing() -> None:
    chosen = settings_from({"train": {"checkpoint_minutes": 5, "checkpoints_kept": 3, "stall_seconds": 30}})
    both = [fingerprints(stages_of(some, control=True), some) for some in (chosen, settings_from({}))]
    assert both[0] == both[1]
    assert {"pretrain", "train", "control"} <= set(both[0])
    for name in ("checkpoint_minutes", "checkpoints_kept", "stall_seconds"):
        assert name in SCHEDULE_KEYS
        assert name in chosen.as_mapping()["train"]
