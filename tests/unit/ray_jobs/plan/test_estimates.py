"""The formulas of the plan, derived again from what the stages do."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.methods.stages import CLASSIFICATION, CLUSTER, GIVEN_FEATURES, PRETRAIN
from csrms_dist.training.budget import Passes
from ray_jobs.plan.estimates import MB, Facts, Rates, estimates
from ray_jobs.settings import settings_from

STAGES = CLASSIFICATION
FACTS = Facts(
    train=1295, val=142, test=360, n_classes=10, labels=1.0, id_bytes=10.0, shape=(32, 32, 3), stored_bytes=3072.0,
    dimension=84, parameters=61156,
)  # fmt: skip
RATES = Rates(read=1e-4, fetch=1e-5, forward=3e-5, plain=1e-4, method=2e-4, activation_bytes=50_000.0)


@given(
    rows=st.integers(1, 10**7), stage_0=st.integers(0, 50), epochs=st.integers(1, 50), frozen=st.booleans()
)  # fmt: skip
def test_passes_are_images_that_go_through_the_encoder(rows: int, stage_0: int, epochs: int, frozen: bool) -> None:
    settings = settings_from(
        {"pretrain": {"epochs": stage_0}, "train": {"epochs": epochs}, "encoder": {"frozen": frozen}}
    )
    found = estimates(STAGES, dataclasses.replace(FACTS, train=rows), RATES, settings, 2)
    passes = {stage: estimate.passes for stage, estimate in found.items()}
    assert passes["features"] == Passes(forward=rows)
    assert passes["images"] == passes["cluster"] == passes["graph"] == passes["evaluate"] == Passes()
    if frozen:
        assert passes["pretrain"] == passes["train"] == Passes()
        assert passes["control"] == Passes(forward=rows)
    else:
        assert passes["pretrain"] == Passes(backward=stage_0 * rows)
        assert passes["train"] == Passes(backward=epochs * rows)
        method = passes["pretrain"] + passes["features"] + passes["train"]
        control = passes["pretrain"] + passes["control"]
        assert abs(method.total - control.total) <= 0.5


def test_disk_is_the_sum_of_the_arrays() -> None:
    found = estimates(STAGES, FACTS, RATES, settings_from({}), 2)
    rows, dimension = FACTS.train, FACTS.dimension
    vectors = 4 * rows * dimension
    weights = 4 * (FACTS.parameters + dimension * 10 + 10)
    expected = {
        "images": 1797 * (32 * 32 * 3 + 10),
        "pretrain": weights,
        "features": 1797 * (4 * dimension + 10 + 4),
        "cluster": 1797 * (4 + 4 + 1),
        "control": weights,
    }
    for stage, size in expected.items():
        assert size <= found[stage].disk_mb * MB <= 1.1 * size + 40_000
    # The weights, the bank, and at most `pool` candidates of each kind for every row.
    assert weights + vectors <= found["train"].disk_mb * MB <= weights + vectors + rows * (2 * 40 * 9 + 16) + 1e5


def test_images_that_are_held_out_are_encoded_and_stored_and_count_no_pass() -> None:
    beside = dataclasses.replace(FACTS, val=0, test=0, unlabelled=502)
    alone = estimates(STAGES, dataclasses.replace(beside, unlabelled=0), RATES, settings_from({}), 2)
    found = estimates(STAGES, beside, RATES, settings_from({}), 2)
    for stage in ("images", "features", "cluster", "graph"):
        assert found[stage].rows == alone[stage].rows + 502 == 1797
        assert found[stage].seconds > alone[stage].seconds
        assert found[stage].disk_mb > alone[stage].disk_mb
        assert found[stage].passes == alone[stage].passes
    for stage in ("pretrain", "train", "control"):
        assert found[stage] == alone[stage]


def test_without_labels_nothing_trains() -> None:
    found = estimates([PRETRAIN], dataclasses.replace(FACTS, n_classes=None), RATES, settings_from({}), 2)["pretrain"]
    assert found.passes == Passes()


def test_two_views_are_two_passes_and_images_without_a_label_count() -> None:
    section = {"objective": "contrastive", "augmentation": "contrastive", "epochs": 3}
    facts = dataclasses.replace(FACTS, n_classes=None, unlabelled=100)
    found = estimates([PRETRAIN], facts, RATES, settings_from({"pretrain": section}), 2)["pretrain"]
    assert found.rows == 3 * (1295 + 100)
    assert found.passes == Passes(backward=2 * 3 * (1295 + 100))
    plain = estimates([PRETRAIN], FACTS, RATES, settings_from({"pretrain": {"epochs": 3}}), 2)["pretrain"]
    seconds = (found.passes.total - plain.passes.total) * (RATES.plain + RATES.fetch / 2)
    assert found.seconds - plain.seconds == pytest.approx(seconds, rel=0.2)
    assert found.memory_mb > plain.memory_mb


def test_adam_keeps_one_number_more_a_weight() -> None:
    sgd, adam = (
        estimates([PRETRAIN], FACTS, RATES, settings_from({"pretrain": {"optimiser": name}}), 2)["pretrain"]
        for name in ("sgd", "adam")
    )
    weights = 4 * (FACTS.parameters + 84 * 10 + 10) / MB
    assert adam.working_mb - sgd.working_mb == pytest.approx(2 * weights)
    assert adam.memory_mb - sgd.memory_mb == pytest.approx(weights)


def test_a_frozen_encoder_leaves_no_bank_and_no_training_of_its_own() -> None:
    frozen = estimates(STAGES, FACTS, RATES, settings_from({"encoder": {"frozen": True, "adapter": "none"}}), 2)
    adapted = estimates(STAGES, FACTS, RATES, settings_from({"encoder": {"frozen": True}}), 2)
    trained = estimates(STAGES, FACTS, RATES, settings_from({}), 2)
    assert frozen["pretrain"].seconds < 0.3 * trained["pretrain"].seconds
    assert trained["train"].disk_mb - frozen["train"].disk_mb == pytest.approx(4 * 1295 * 84 / MB)
    # With an adapter there is a bank of its width again.
    assert adapted["train"].disk_mb - frozen["train"].disk_mb > 4 * 1295 * 256 / MB
    assert adapted["train"].passes == frozen["train"].passes


@given(workers=st.integers(2, 8), cores=st.integers(1, 8))
def test_more_hands_are_never_slower_and_no_faster_than_the_cores(workers: int, cores: int) -> None:
    facts = dataclasses.replace(FACTS, train=10**6)
    found, two = (
        estimates([PRETRAIN], facts, RATES, settings_from({"pretrain": {"workers": n}}), cores)["pretrain"].seconds
        for n in (workers, 2)
    )
    assert found <= two
    images = 10 * 10**6
    assert found >= images * (RATES.plain + RATES.fetch) / cores
    assert found >= images * RATES.plain / workers


def test_one_worker_waits_for_no_ray() -> None:
    one, two = (
        estimates([PRETRAIN], FACTS, RATES, settings_from({"pretrain": {"workers": n}}), 1)["pretrain"] for n in (1, 2)
    )
    assert (one.on_ray, two.on_ray) == (False, True)
    assert one.seconds < two.seconds - 5


def test_time_memory_and_disk_grow_with_the_rows() -> None:
    few, many = (
        estimates(STAGES, dataclasses.replace(FACTS, train=n, val=n // 10, test=n // 5), RATES, settings_from({}), 2)
        for n in (10_000, 1_000_000)
    )
    for stage in {stage.name for stage in STAGES} - {"pretrain", "control"}:
        assert few[stage].seconds < many[stage].seconds
        assert few[stage].disk_mb < many[stage].disk_mb
        assert few[stage].memory_mb < many[stage].memory_mb


def test_given_vectors_have_their_own_features_stage() -> None:
    facts = Facts(
        train=1000, val=0, test=0, n_classes=None, labels=0.0, id_bytes=5.0, shape=(), stored_bytes=0.0, dimension=20,
        parameters=0,
    )  # fmt: skip
    found = estimates([GIVEN_FEATURES, CLUSTER], facts, Rates(0, 0, 0, 0, 0, 0), settings_from({}), 2)
    assert found["features"].passes == Passes()
    assert 1000 * (80 + 5) <= found["features"].disk_mb * MB <= 1.5 * 1000 * (80 + 5)


@given(images=st.integers(3, 10**9))
def test_facts_of_another_number_of_images_keep_their_shares(images: int) -> None:
    facts = FACTS.scaled(images)
    assert facts.images == images
    assert min(facts.train, facts.val, facts.test, facts.unlabelled) >= 0
    for name in ("train", "val", "test", "unlabelled"):
        assert abs(getattr(facts, name) - getattr(FACTS, name) * images / FACTS.images) <= 2
    assert facts.n_classes == FACTS.n_classes
