"""Graphs of anchors and what smoothers are made of, as loops over numbers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

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


def plus(a: Matrix, bias: list[float]) -> Matrix:
    return [[x + y for x, y in zip(row, bias, strict=True)] for row in a]


def relu(a: Matrix) -> Matrix:
    return [[max(0.0, x) for x in row] for row in a]


def loop_linked(adjacency: str, nodes: Tensor, mask: Tensor, k: int = 5) -> list[Matrix]:
    """Who is linked to whom for each anchor, without self-loops."""
    found = []
    for some, there in zip(nodes.tolist(), mask.tolist(), strict=True):
        if adjacency == "self":
            found.append(_star([False] * len(there)))
        else:
            found.append(_star(there) if adjacency == "star" else _knn(some, [True, *there], k))
    return found


def _star(mask: list[bool]) -> Matrix:
    size = 1 + len(mask)
    linked = [[0.0] * size for _ in range(size)]
    for neighbour, there in enumerate(mask, start=1):
        linked[0][neighbour] = linked[neighbour][0] = float(there)
    return linked


def _knn(nodes: Matrix, there: list[bool], k: int) -> Matrix:
    size = len(nodes)
    unit = [[x / math.hypot(*row) for x in row] for row in nodes]
    near: list[list[int]] = []
    for i in range(size):
        others = [j for j in range(size) if j != i and there[j]] if there[i] else []
        near.append(sorted(others, key=lambda j, i=i: math.dist(unit[i], unit[j]))[:k])  # type: ignore[misc]
    return [[float(j in near[i] or i in near[j]) for j in range(size)] for i in range(size)]


def loop_weighted(linked: Matrix, normalisation: str, self_loops: bool) -> Matrix:
    size = len(linked)
    whole = [[linked[i][j] + float(self_loops and i == j) for j in range(size)] for i in range(size)]
    degree = [sum(row) or 1.0 for row in whole]
    over = {
        "row": lambda i, j: degree[i],
        "symmetric": lambda i, j: math.sqrt(degree[i] * degree[j]),
        "row_l2": lambda i, j: math.sqrt(sum(x * x for x in whole[i])) or 1.0,
    }[normalisation]
    return [[whole[i][j] / over(i, j) for j in range(size)] for i in range(size)]


def loop_missing(
    nodes: Matrix, mean: list[float], name: str, state: dict[str, Any], weights: dict[str, Matrix]
) -> list[float]:
    """h + (1 + gamma) r + beta - h_N of the anchor, node 0; mean: the weights of its neighbours in h_N."""

    def bent(x: float) -> float:
        return x if x > 0 else 0.2 * x

    around = product([mean], nodes)[0]
    both = [[*nodes[0], *around]]
    gamma, beta = (product(both, weights[f"{name}.{part}.weight"])[0] for part in ("scale", "shift"))
    return [
        h + (1 + bent(g)) * r + bent(b) - a
        for h, g, r, b, a in zip(nodes[0], gamma, state[f"{name}.translation"], beta, around, strict=True)
    ]
