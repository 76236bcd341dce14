"""The asymmetric loss against its formula, and the one sentence where each image has one label."""

from __future__ import annotations

import math

import pytest
import torch

from csrms_dist.encoders.given import GivenFeatures
from csrms_dist.errors import ConfigError
from csrms_dist.losses.classification import GraphHeadLoss, asymmetric_loss, classification_loss
from csrms_dist.losses.term import Reducer
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.plain import PlainMethod

B, K = 6, 4


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_several_labels_asymmetric(smoothing: float) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(B, K, generator=generator)
    membership = (torch.rand(B, K, generator=generator) < 0.5).float()
    logits[0] = torch.tensor([-9.0, -3, 3, 60])  # the first below the clip, the last as sure as float32 can be
    expected = 0.0
    for row, labels in zip(logits.double().tolist(), membership.tolist(), strict=True):
        for x, label in zip(row, labels, strict=True):
            t = label * (1 - smoothing) + smoothing / 2
            p = 1 / (1 + math.exp(-x))
            shifted = max(p - 0.05, 0.0)
            expected -= t * (1 - p) ** 1 * math.log(p) + (1 - t) * shifted**4 * math.log(1 - shifted)

    def loss(rows: slice) -> float:
        value = classification_loss(
            logits[rows], membership[rows], smoothing, labels_per_image=1.5, loss="asymmetric", reducer=Reducer(B)
        )
        return float(value)

    assert loss(slice(None)) == pytest.approx(expected / B / 1.5, rel=1e-4)
    assert sum(loss(slice(i, None, 4)) for i in range(4)) == pytest.approx(expected / B / 1.5, rel=1e-4)


def test_without_powers_and_clip_it_is_the_binary_cross_entropy() -> None:
    logits = torch.linspace(-5, 5, B * K).view(B, K)
    membership = (torch.arange(B * K).view(B, K) % 3 == 0).float()
    found = asymmetric_loss(logits, membership, 0.0, 0.0, 0.0)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, membership, reduction="none")
    torch.testing.assert_close(found, expected)


def test_its_gradient_is_finite_at_extreme_logits() -> None:
    logits = torch.tensor([[-1e4, 1e4, 0.0, 50.0]], requires_grad=True)
    for membership in (torch.zeros(1, K), torch.ones(1, K)):
        asymmetric_loss(logits, membership).sum().backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


def test_one_label_an_image_is_refused() -> None:
    expected = r"train.loss: got 'asymmetric' for images of one label each, expected .* several labels; set it to auto"
    with pytest.raises(ConfigError, match=expected):
        GraphHeadLoss(loss="asymmetric")
    with pytest.raises(ConfigError, match=expected):
        PlainMethod(PlainModel(GivenFeatures(K), K), loss="asymmetric")
    assert GraphHeadLoss(loss="asymmetric", labels_per_image=1.5).loss == "asymmetric"
