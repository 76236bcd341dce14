"""The graph head is smoothing, alignment and a linear layer, in that order."""

from __future__ import annotations

import math

import pytest
import torch

from csrms_dist.basics.lookup import resolve
from csrms_dist.models.graph_head import GraphContext, GraphHead
from csrms_dist.models.smoothing import SMOOTHERS
from csrms_dist.models.smoothing.gcn import GCN
from csrms_dist.models.smoothing.knn import NEAREST, knn_adjacency
from csrms_dist.models.smoothing.star import StarGCN, star_adjacency


@pytest.mark.parametrize("smoother", SMOOTHERS)
@pytest.mark.parametrize("aligned", [False, True])
def test_the_head_is_the_chain_of_eq_9_to_12(smoother: str, aligned: bool) -> None:
    torch.manual_seed(0)
    head = GraphHead(resolve(SMOOTHERS[smoother])(5), 5, 3)
    features, found = torch.randn(4, 5), torch.randn(4, 7, 5)
    mask = torch.rand(4, 7) < 0.7
    prototypes = (torch.randn(4, 5), torch.randn(4, 5)) if aligned else None
    logits, smoothed = head(features, GraphContext(found, mask, prototypes))

    nodes = torch.stack([torch.cat([features[b : b + 1], found[b]]) for b in range(4)])
    if smoother == "knn":
        expected = head.smoothing.convolve(nodes, knn_adjacency(nodes, mask, NEAREST))
        torch.testing.assert_close(expected.sum(dim=1), torch.ones(4))  # softmax over the features
    else:
        scaled = torch.stack(
            [torch.stack([x * math.sqrt(5) / math.hypot(*x.tolist()) for x in some]) for some in nodes]
        )
        expected = scaled[:, 0] + head.smoothing.convolve(scaled, star_adjacency(mask))
    if prototypes is not None:
        expected = 0.25 * expected + 0.25 * prototypes[0] + 0.5 * prototypes[1]
    torch.testing.assert_close(smoothed, expected)
    torch.testing.assert_close(logits, expected @ head.classifier.weight.T + head.classifier.bias)


def test_the_default_head_does_not_see_how_long_a_feature_is() -> None:
    torch.manual_seed(0)
    head = GraphHead(StarGCN(5), 5, 3)
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
    head = GraphHead(StarGCN(64), 64, 3)
    context = GraphContext(found[torch.randint(20, (500, 8))], torch.ones(500, 8, dtype=torch.bool))
    _, smoothed = head(features, context)
    nodes = torch.nn.functional.normalize(features, dim=1) * 8
    ratio = float(smoothed.detach().var(dim=0).sum() / nodes.var(dim=0).sum())
    assert 0.7 < ratio < 3
    # With nothing beside the convolution hardly any of it is left.
    bare = GCN(64)
    left = bare.convolve(torch.cat([nodes[:, None], context.neighbours], dim=1), star_adjacency(context.mask))
    assert float(left.detach().var(dim=0).sum() / nodes.var(dim=0).sum()) < 0.2


def test_the_own_node_beside_the_convolution_moves_no_encoder() -> None:
    torch.manual_seed(0)
    smoothing, found, mask = StarGCN(5), torch.randn(4, 7, 5), torch.rand(4, 7) < 0.7
    features = torch.randn(4, 5, requires_grad=True)
    nodes = torch.cat([features[:, None], found], dim=1)
    scaled = torch.nn.functional.normalize(nodes, dim=2) * math.sqrt(5)
    moved = torch.autograd.grad(smoothing(nodes, mask).square().sum(), features, retain_graph=True)[0]
    apart = scaled[:, 0].detach() + smoothing.convolve(scaled, star_adjacency(mask))
    torch.testing.assert_close(moved, torch.autograd.grad(apart.square().sum(), features)[0])
    assert moved.abs().sum() > 0  # through the convolution


def test_a_head_answers_each_anchor_alone() -> None:
    torch.manual_seed(0)
    head = GraphHead(StarGCN(5), 5, 3)
    features, found, mask = torch.randn(4, 5), torch.randn(4, 7, 5), torch.rand(4, 7) < 0.5
    together, _ = head(features, GraphContext(found, mask))
    alone = [head(features[b : b + 1], GraphContext(found[b : b + 1], mask[b : b + 1]))[0] for b in range(4)]
    torch.testing.assert_close(together, torch.cat(alone))
    assert head(features[:0], GraphContext(found[:0], mask[:0]))[0].shape == (0, 3)
