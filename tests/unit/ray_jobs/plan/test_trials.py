"""Trials on a sample: what they say of it, and that they leave no trace."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from csrms_dist.datasets.image_source import ImageSource, Selected, in_memory
from csrms_dist.errors import DataError
from csrms_dist.labels import LabelSpace
from ray_jobs.plan.estimates import Facts
from ray_jobs.plan.plan import survey
from ray_jobs.plan.trials import encoder_facts, measure, sampled
from ray_jobs.settings import settings_from

N = 700


def source(side: int = 32) -> ImageSource:
    space = LabelSpace(("a", "b", "c"))
    images = np.random.default_rng(0).integers(0, 256, (N, side, side, 3), dtype=np.uint8)
    membership = space.membership([row % 3 for row in range(N)])
    return in_memory("made", space, [f"{row:05d}" for row in range(N)], membership, ["train"] * N, list(images))


def test_a_sample_says_what_an_image_takes() -> None:
    with sampled(source()) as sample:
        folder = sample.table.path.parent
        assert sample.table.shape == (32, 32, 3)
        assert 3072 <= sample.stored_bytes < 1.1 * 3072
        assert 16 <= len(sample.table) <= 512
        assert sample.seconds > 0
    assert not folder.exists()


def test_where_rows_can_be_chosen_the_sample_is_a_few_runs_spread_evenly() -> None:
    whole = source()
    images = list(whole.images)
    chosen: list[int] = []

    def read(rows: np.ndarray) -> object:
        chosen.extend(rows.tolist())
        return (images[row] for row in rows)

    spread = ImageSource(
        whole.name, whole.label_space, whole.ids, whole.membership, whole.split, Selected(read, np.arange(N))
    )
    with sampled(spread) as sample:
        assert sample.table.ids[0].as_py() == "00000"
        assert sample.table.ids[len(sample.table) - 1].as_py() == f"{N - 1:05d}"
    steps = np.diff(chosen[-len(sample.table) :])
    assert steps.min() == 1
    assert (steps > 1).sum() == 3


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"encoder": {"frozen": True}},
        {"encoder": {"frozen": True, "adapter": "none"}},
        {"method": {"reading": "paper"}},
    ],
)
def test_rates_are_of_this_machine_and_leave_no_trace(changes: dict[str, dict[str, object]]) -> None:
    settings = settings_from(changes)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with sampled(source()) as sample:
        encoder, parameters = encoder_facts(settings, sample.table.shape)
        assert parameters == sum(p.numel() for p in encoder.parameters()) == 61156
        facts = Facts(N, 0, 0, 3, 1.0, 5.0, sample.table.shape, sample.stored_bytes, encoder.dimension, parameters)
        rates = measure(facts, encoder, sample, settings)
    assert min(rates.forward, rates.plain, rates.method) > 0
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_what_an_image_keeps_for_backward_is_the_size_of_its_layers() -> None:
    """LeNet-5: the images themselves, and what each layer's backward needs."""
    settings = settings_from({})
    with sampled(source()) as sample:
        encoder, parameters = encoder_facts(settings, sample.table.shape)
        facts = Facts(N, 0, 0, 3, 1.0, 5.0, sample.table.shape, sample.stored_bytes, encoder.dimension, parameters)
        rates = measure(facts, encoder, sample, settings)
    image, first, pooled, second, halved = 3 * 32 * 32, 6 * 28 * 28, 6 * 14 * 14, 16 * 10 * 10, 16 * 5 * 5
    floats = 4 * (image + first + pooled + second + halved + 120 + 84)
    places_of_maxima = 8 * (pooled + halved)
    assert floats <= rates.activation_bytes <= 1.1 * (floats + places_of_maxima)


def test_images_that_cannot_be_read_are_found_before_a_long_wait() -> None:
    space = LabelSpace(("a",))
    broken = in_memory("made", space, ["x", "y"], space.membership([0, 0]), ["train"] * 2, [b"no image", b""])
    with pytest.raises(DataError, match="readable"), sampled(broken):
        pass


@pytest.mark.parametrize("encoding", ["unique", "full"])
def test_a_step_that_encodes_neighbours_is_tried_too(encoding: str) -> None:
    settings = settings_from({"method": {"encoding": encoding}})
    facts, rates = survey(settings)
    assert rates.method > rates.plain
    assert settings.method.encodings(settings.sampling) == 11  # the image and its ten negatives
    assert facts.train > 0
