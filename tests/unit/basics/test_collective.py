"""One worker alone: every operation is the identity. (Two workers: tests/equivalence/test_training_workers.py.)"""

from __future__ import annotations

import torch
from torch import nn

from csrms_dist.basics.collective import Collective


def test_one_worker_needs_no_process_group() -> None:
    alone = Collective()
    value = torch.randn(3, 2, requires_grad=True)
    assert (alone.rank, alone.world) == (0, 1)
    assert alone.all_sum(value) is value
    assert alone.share(value) is value
    gathered = alone.gather_rows(value, 3)
    assert torch.equal(gathered, value)
    assert not gathered.requires_grad


def test_every_parameter_that_learns_gets_a_gradient() -> None:
    """Weight decay must reach the same parameters with one worker and with many."""
    used, unused, frozen = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(1), False)
    (2 * used).sum().backward()
    Collective().sum_gradients([used, unused, frozen])
    assert used.grad is not None
    assert unused.grad is not None
    assert torch.equal(used.grad, torch.full((2,), 2.0))
    assert torch.equal(unused.grad, torch.zeros(3))
    assert frozen.grad is None
