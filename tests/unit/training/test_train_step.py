"""The schedule as loops, and what a diverged training says."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from csrms_dist.errors import DataError
from csrms_dist.training.schedule import learning_rate
from csrms_dist.training.train_step import refuse_divergence, refuse_lost_weights


@pytest.mark.parametrize("warmup", [0, 1, 4, 3.5])
def test_linear_then_cosine(warmup: float) -> None:
    total, peak = 20, 0.3
    rates = [learning_rate(step, total, warmup, peak) for step in range(total)]
    for step, rate in enumerate(rates):
        if step < warmup:
            assert rate == pytest.approx(min(peak * (step + 1) / warmup, peak))
        else:
            assert rate == pytest.approx(peak * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2)
    assert all(0 < rate <= peak for rate in rates)
    assert learning_rate(total, total, warmup, peak) == pytest.approx(0)


def test_a_training_that_is_shorter_than_its_warm_up_never_reaches_the_peak() -> None:
    assert max(learning_rate(step, 3, 10, 1.0) for step in range(3)) == pytest.approx(0.3)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_refused(loss: float) -> None:
    message = rf"training loss of epoch 3: got {loss}, expected a finite number; lower the learning rate"
    with pytest.raises(DataError, match=message):
        refuse_divergence(loss, 3)
    refuse_divergence(1e30, 3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_lost_weight_is_refused(value: float) -> None:
    layer = nn.Linear(3, 3)
    refuse_lost_weights(layer.parameters(), 2)
    with torch.no_grad():
        layer.bias[1] = value
    with pytest.raises(DataError, match=r"weights after epoch 2: got NaN or infinity, .*lower the learning rate"):
        refuse_lost_weights(layer.parameters(), 2)
