"""Encoder passes: what the control gets equals what the method had."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.training.budget import Passes, control_images

counts = st.integers(0, 10**9)


def test_a_forward_is_a_third_of_a_pass() -> None:
    assert Passes(6, 3).total == pytest.approx(7)
    assert Passes(1, 2) + Passes(10, 20) == Passes(11, 22)
    assert Passes().total == 0


@given(counts, counts, counts)
def test_the_control_has_the_methods_passes_to_a_third(stage_0: int, features: int, train: int) -> None:
    before = Passes(backward=stage_0)
    method = before + Passes(forward=features) + Passes(backward=train)
    images = control_images(method, before)
    assert abs((before + Passes(backward=images)).total - method.total) <= 1 / 3 + 1e-6
    assert images >= train
