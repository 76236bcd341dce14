"""The graph head is smoothing, alignment and a linear layer, in that order."""

from __future__ import annotations

import math

import pytest
import torch

from csrms_dist.basics.lookup import resolve
from csrms_dist.models.alignment import ALIGNMENTS
from csrms_dist.models.graph_head import GraphContext, GraphHead
from csrms_dist.models.smoothing import SMOOTHERS
from csrms_dist.models.smoothing.form import Form
from csrms_dist.models.smoothing.gcn import GCN
from csrms_dist.models.smoothing.identity import Identity


def scaled(vectors: torch.Tensor) -> torch.Tensor:
    """Each (D,) to length sqrt(D), by loops."""
    flat = vectors.reshape(-1, vectors.shape[-1])
    found = torch.stack([x * math.sqrt(len(x)) / math.hypot(*x.tolist()) for x in flat])
    return found.reshape(vectors.shape)


@pytest.mark.parametrize("framed", [True, False])
@pytest.mark.parametrize("smoother", SMOOTHERS)
@pytest.mark.parametrize("aligned", [None, *ALIGNMENTS])
def test_the_head_is_the_chain_of_eq_9_to_12(smoother: str, aligned: str | None, framed: bool) -> None:
    torch.manual_seed(0)
    alignment = resolve(ALIGNMENTS[aligned or "none"])()
    head = GraphHead(resolve(SMOOTHERS[smoother])(5, Form()), 5, 3, alignment, framed=framed)
    features, found = torch.randn(4, 5), torch.randn(4, 7, 5)
    mask = torch.rand(4, 7) < 0.7
    prototypes = (torch.randn(4, 5), torch.randn(4, 5)) if aligned else None
    logits, smoothed = head(features, GraphContext(found, mask, prototypes))

    own, others, pair = features, found, prototypes or ()
    if framed:
        own, others, pair = scaled(own), scaled(others), tuple(scaled(some) for some in pair)
    if aligned == "reference":
        own = torch.stack([(own[b] + pair[0][b] + pair[1][b]) / 3 for b in range(4)])
    expected = head.smoothing(torch.cat([own[:, None], others], dim=1), mask)
    if framed and smoother != "identity":
        expected = own + expected
    if aligned not in (None, "reference"):
        expected = 0.25 * expected + 0.25 * pair[0] + 0.5 * pair[1]
    torch.testing.assert_close(smoothed, expected)
    torch.testing.assert_close(logits, expected @ head.classifier.weight.T + head.classifier.bias)


def test_a_smoother_of_the_users_own_gets_the_nodes_and_decides_alone() -> None:
    class Farthest(torch.nn.Module):
        def __init__(self, dimension: int) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(dimension))

        def forward(self, nodes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            assert nodes.shape == (4, 8, 5)
            assert mask.shape == (4, 7)
            return nodes[:, -1] * self.weight

    head = GraphHead(Farthest(5), 5, 3)
    found = torch.randn(4, 7, 5)
    _, smoothed = head(torch.randn(4, 5), GraphContext(found, torch.ones(4, 7, dtype=torch.bool)))
    assert torch.equal(smoothed, found[:, -1])


def test_the_default_head_has_the_weights_and_numbers_that_it_had_with_the_whole_adjacency() -> None:
    """A ReLU(A X W1 + b1) W0 + b0 beside the detached node, A the (1 + n, 1 + n) star, rows averaging."""
    torch.manual_seed(0)
    head = GraphHead(GCN(16), 16, 3)
    assert set(head.state_dict()) == {
        f"{layer}.{part}"
        for layer in ("smoothing.inner", "smoothing.outer", "classifier")
        for part in ("weight", "bias")
    }
    features, found, mask = torch.randn(9, 16, requires_grad=True), torch.randn(9, 7, 16), torch.rand(9, 7) < 0.7
    star = torch.eye(8).repeat(9, 1, 1)
    star[:, 0, 1:] = star[:, 1:, 0] = mask.float()
    star = star / star.sum(dim=2, keepdim=True)
    nodes = torch.nn.functional.normalize(torch.cat([features[:, None], found], dim=1), dim=2) * 4
    inner, outer = head.smoothing.inner, head.smoothing.outer
    whole = outer((star[:, :1] @ torch.relu(inner(star @ nodes))).squeeze(1)) + nodes[:, 0].detach()
    logits, _ = head(features, GraphContext(found, mask))
    torch.testing.assert_close(logits, head.classifier(whole), rtol=1e-6, atol=2e-6)
    wanted = [features, *head.parameters()]
    for one, other in zip(
        torch.autograd.grad(logits.square().sum(), wanted),
        torch.autograd.grad(head.classifier(whole).square().sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_the_default_head_does_not_see_how_long_a_feature_is() -> None:
    torch.manual_seed(0)
    head = GraphHead(GCN(5), 5, 3)
    features, found, mask = torch.randn(4, 5), torch.randn(4, 7, 5), torch.rand(4, 7) < 0.7
    once = head(features, GraphContext(found, mask))[0]
    torch.testing.assert_close(head(100 * features, GraphContext(0.01 * found, mask))[0], once)
    blank = head(torch.zeros(4, 5), GraphContext(torch.zeros(4, 7, 5), mask))[0]
    assert torch.isfinite(blank).all()


def long_features(rows: int, dimension: int, seed: int) -> torch.Tensor:
    """As pretrained encoders give them: long, none below 0, and a third of their energy in what all have in common."""
    draw = torch.Generator().manual_seed(seed)
    common = torch.rand(dimension, generator=draw)
    return 8 * (common + torch.randn(rows, dimension, generator=draw)).relu()


def test_a_fresh_default_head_sees_images_differ_as_much_as_their_features_do() -> None:
    """A layer learns at the speed of its input's variance: that of the classifier must not be lost on the way."""
    torch.manual_seed(0)
    features, found = long_features(500, 64, 1), long_features(20, 64, 1)
    head = GraphHead(GCN(64), 64, 3)
    context = GraphContext(found[torch.randint(20, (500, 8))], torch.ones(500, 8, dtype=torch.bool))
    _, smoothed = head(features, context)
    nodes = torch.nn.functional.normalize(features, dim=1) * 8
    ratio = float(smoothed.detach().var(dim=0).sum() / nodes.var(dim=0).sum())
    assert 0.7 < ratio < 3
    # With nothing beside the convolution hardly any of it is left.
    left = GCN(64)(torch.cat([nodes[:, None], context.neighbours], dim=1), context.mask)
    assert float(left.detach().var(dim=0).sum() / nodes.var(dim=0).sum()) < 0.2


def test_the_own_node_beside_the_convolution_moves_no_encoder() -> None:
    torch.manual_seed(0)
    head, found, mask = GraphHead(GCN(5), 5, 3), torch.randn(4, 7, 5), torch.rand(4, 7) < 0.7
    features = torch.randn(4, 5, requires_grad=True)
    nodes = torch.nn.functional.normalize(torch.cat([features[:, None], found], dim=1), dim=2) * math.sqrt(5)
    _, smoothed = head(features, GraphContext(found, mask))
    moved = torch.autograd.grad(smoothed.square().sum(), features, retain_graph=True)[0]
    apart = nodes[:, 0].detach() + head.smoothing(nodes, mask)
    torch.testing.assert_close(moved, torch.autograd.grad(apart.square().sum(), features)[0])
    assert moved.abs().sum() > 0  # through the convolution


def test_without_smoothing_the_head_is_a_linear_layer_that_moves_the_encoder() -> None:
    torch.manual_seed(0)
    head, found = GraphHead(Identity(5), 5, 3), torch.randn(4, 7, 5)
    features = torch.randn(4, 5, requires_grad=True)
    logits, _ = head(features, GraphContext(found, torch.ones(4, 7, dtype=torch.bool)))
    torch.testing.assert_close(logits, head.classifier(scaled(features.detach())))
    assert torch.autograd.grad(logits.square().sum(), features)[0].abs().sum() > 0


def test_a_head_answers_each_anchor_alone() -> None:
    torch.manual_seed(0)
    head = GraphHead(GCN(5), 5, 3)
    features, found, mask = torch.randn(4, 5), torch.randn(4, 7, 5), torch.rand(4, 7) < 0.5
    together, _ = head(features, GraphContext(found, mask))
    alone = [head(features[b : b + 1], GraphContext(found[b : b + 1], mask[b : b + 1]))[0] for b in range(4)]
    torch.testing.assert_close(together, torch.cat(alone))
    assert head(features[:0], GraphContext(found[:0], mask[:0]))[0].shape == (0, 3)
