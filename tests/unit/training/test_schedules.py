"""The learning rate of every step, by hand."""

from __future__ import annotations

import math

import pytest

from csrms_dist.training.schedules.rate import Pace, learning_rate, pace_of
from csrms_dist.training.settings import OptimiserSettings


@pytest.mark.parametrize("warmup", [0, 1, 4, 3.5])
def test_linear_then_cosine(warmup: float) -> None:
    total, peak = 20, 0.3
    settings = OptimiserSettings(lr=peak)
    pace = Pace(total, 5, warmup)
    rates = [learning_rate(step, pace, settings) for step in range(total)]
    for step, rate in enumerate(rates):
        if step < warmup:
            assert rate == pytest.approx(min(peak * (step + 1) / warmup, peak))
        else:
            assert rate == pytest.approx(peak * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2)
    assert all(0 < rate <= peak for rate in rates)
    assert learning_rate(total, pace, settings) == pytest.approx(0)


@pytest.mark.parametrize("schedule", ["cosine", "step"])
def test_a_training_that_is_shorter_than_its_warm_up_never_reaches_the_peak(schedule: str) -> None:
    settings = OptimiserSettings(lr=1.0, schedule=schedule)
    assert max(learning_rate(step, Pace(3, 1, 10), settings) for step in range(3)) == pytest.approx(0.3)


def test_steps_down_every_two_epochs_after_the_warm_up() -> None:
    settings = OptimiserSettings(lr=0.8, schedule="step", decay=0.5, decay_every=2, warmup_epochs=1)
    pace = pace_of(settings, total=22, epoch=4)
    rates = [learning_rate(step, pace, settings) for step in range(22)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4:12] == [0.8] * 8
    assert rates[12:20] == [0.4] * 8
    assert rates[20:] == [0.2] * 2


def test_fractions_of_an_epoch_are_fractions_of_its_steps() -> None:
    settings = OptimiserSettings(lr=1.0, schedule="step", decay=0.1, decay_every=1.5, warmup_epochs=0)
    pace = pace_of(settings, total=15, epoch=5)
    assert pace == Pace(15, 5, 0)
    rates = [learning_rate(step, pace, settings) for step in range(15)]
    assert rates == [1.0] * 8 + [0.1] * 7  # 7.5 steps


def test_the_papers_settings_are_the_plain_steps_of_torch() -> None:
    import torch

    settings = OptimiserSettings(lr=0.1, schedule="step", decay=0.1, decay_every=20, warmup_epochs=0)
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    peer = torch.optim.lr_scheduler.StepLR(optimiser, step_size=20, gamma=0.1)
    pace = pace_of(settings, total=150, epoch=3)
    for step in range(150):
        if step and step % 3 == 0:
            optimiser.step()
            peer.step()
        assert learning_rate(step, pace, settings) == pytest.approx(optimiser.param_groups[0]["lr"])
