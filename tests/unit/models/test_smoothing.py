"""Adjacencies and the GCN against eq. 9-10 written as loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from csrms_dist.models.smoothing.gcn import GCN
from csrms_dist.models.smoothing.knn import knn_adjacency
from csrms_dist.models.smoothing.star import star_adjacency

Matrix = list[list[float]]


def made(batch: int = 5, n: int = 6, dimension: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Nodes (B, 1 + n, D) and a mask (B, n); the first anchor has no neighbour, the second all."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(batch, n, generator=generator) < 0.6
    mask[0], mask[1] = False, True
    return torch.randn(batch, 1 + n, dimension, generator=generator), mask


def product(a: Matrix, b: Matrix) -> Matrix:
    return [
        [math.fsum(x * y for x, y in zip(row, column, strict=True)) for column in zip(*b, strict=True)] for row in a
    ]


def loop_star(mask: list[bool]) -> Matrix:
    size = 1 + len(mask)
    linked = [[1.0 if i == j else 0.0 for j in range(size)] for i in range(size)]
    for neighbour, there in enumerate(mask, start=1):
        if there:
            linked[0][neighbour] = linked[neighbour][0] = 1.0
    return [[x / sum(row) for x in row] for row in linked]


def loop_knn(nodes: Matrix, mask: list[bool], k: int) -> Matrix:
    size = len(nodes)
    there = [True, *mask]
    unit = [[x / math.hypot(*row) for x in row] for row in nodes]
    near: list[list[int]] = []
    for i in range(size):
        others = [j for j in range(size) if j != i and there[j]] if there[i] else []
        near.append(sorted(others, key=lambda j, i=i: math.dist(unit[i], unit[j]))[:k])  # type: ignore[misc]
    linked = [[float(i == j or j in near[i] or i in near[j]) for j in range(size)] for i in range(size)]
    degree = [sum(row) for row in linked]
    return [[linked[i][j] / math.sqrt(degree[i] * degree[j]) for j in range(size)] for i in range(size)]


def test_the_star_is_row_stochastic_and_a_lonely_anchor_is_the_identity() -> None:
    _, mask = made()
    found = star_adjacency(mask)
    for b in range(len(mask)):
        torch.testing.assert_close(found[b], torch.tensor(loop_star(mask[b].tolist())))
    assert torch.allclose(found.sum(dim=2), torch.ones(found.shape[:2]))
    assert torch.equal(found[0], torch.eye(7))
    assert torch.equal(found[1, 0], torch.full((7,), 1 / 7))


@pytest.mark.parametrize("k", [1, 3, 5, 20])
def test_the_knn_graph_is_symmetric_and_normalised_on_both_sides(k: int) -> None:
    nodes, mask = made()
    found = knn_adjacency(nodes, mask, k)
    for b in range(len(mask)):
        torch.testing.assert_close(found[b], torch.tensor(loop_knn(nodes[b].tolist(), mask[b].tolist(), k)))
    assert torch.equal(found, found.transpose(1, 2))
    assert torch.equal(found[0], torch.eye(7))


def test_an_absent_neighbour_changes_nothing() -> None:
    nodes, mask = made()
    other = nodes.clone()
    other[:, 1:][~mask] = 100.0
    torch.manual_seed(0)
    gcn = GCN(4, 3)
    for adjacency in (lambda x: knn_adjacency(x, mask, 3), lambda x: star_adjacency(mask)):
        assert torch.equal(adjacency(nodes), adjacency(other))
        torch.testing.assert_close(gcn.convolve(nodes, adjacency(nodes)), gcn.convolve(other, adjacency(other)))


@pytest.mark.parametrize("softmax", [False, True])
def test_gcn_is_eq_10_for_the_anchor(softmax: bool) -> None:
    nodes, mask = made()
    torch.manual_seed(1)
    gcn = GCN(4, 3, softmax=softmax)
    adjacency = knn_adjacency(nodes, mask, 2)
    found = gcn.convolve(nodes, adjacency)
    inner, outer = gcn.inner.weight.T.tolist(), gcn.outer.weight.T.tolist()
    for b in range(len(mask)):
        a = adjacency[b].tolist()
        first = product(product(a, nodes[b].tolist()), inner)
        hidden = [[max(0.0, x + c) for x, c in zip(row, gcn.inner.bias.tolist(), strict=True)] for row in first]
        last = [x + c for x, c in zip(product(product(a, hidden), outer)[0], gcn.outer.bias.tolist(), strict=True)]
        if softmax:
            last = [math.exp(x) / math.fsum(map(math.exp, last)) for x in last]
        torch.testing.assert_close(found[b], torch.tensor(last))


def test_without_neighbours_smoothing_is_a_plain_mlp() -> None:
    nodes, mask = made()
    torch.manual_seed(2)
    gcn = GCN(4)
    mlp = gcn.outer(torch.relu(gcn.inner(nodes[:, 0])))
    torch.testing.assert_close(gcn.convolve(nodes, star_adjacency(torch.zeros_like(mask))), mlp)
