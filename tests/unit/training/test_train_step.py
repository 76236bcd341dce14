"""What a diverged training says."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from csrms_dist.errors import DataError
from csrms_dist.training.train_step import refuse_divergence, refuse_lost_weights


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
