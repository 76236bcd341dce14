"""Adjacencies and smoothers against their equations written as loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from csrms_dist.basics.lookup import resolve
from csrms_dist.models.smoothing import ADJACENCIES, NORMALISATIONS, SMOOTHERS
from csrms_dist.models.smoothing.form import Form
from csrms_dist.models.smoothing.gcn import GCN
from csrms_dist.models.smoothing.gnn import GNN
from csrms_dist.models.smoothing.identity import Identity
from csrms_dist.models.smoothing.knn import nearest_links
from csrms_dist.models.smoothing.links import Edges, Links
from csrms_dist.models.smoothing.normalisation import row
from csrms_dist.models.smoothing.released_gcn import ReleasedGCN
from csrms_dist.models.smoothing.smoother import Smoother, make_smoother
from csrms_dist.models.smoothing.star import Star
from csrms_dist.models.smoothing.tail_gnn import MissingNeighbour, TailGNN
from tests.unit.models.plain_smoothing import (
    Matrix,
    loop_linked,
    loop_missing,
    loop_weighted,
    made,
    plus,
    product,
    relu,
)

CROSSED = [(a, n) for a in ADJACENCIES for n in NORMALISATIONS]
D, N = 4, 6


def dense(edges: Edges, n: int, batch: int) -> Tensor:
    """The anchor's row and those of the others of an adjacency, found by passing unit vectors through it."""
    unit = torch.eye(1 + n).expand(batch, -1, -1)
    own, others = edges.spread(unit[:, 0], unit[:, 1:])
    torch.testing.assert_close(edges.gather(unit[:, 0], unit[:, 1:]), own)
    return torch.cat([own[:, None], others], dim=1)


def links_of(adjacency: str, nodes: Tensor, mask: Tensor) -> Links:
    found: Links = resolve(ADJACENCIES[adjacency])(nodes[:, 0], nodes[:, 1:], mask)
    return found


@pytest.mark.parametrize(("adjacency", "normalisation"), CROSSED)
@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("leaf", [False, True])
def test_edges_are_the_adjacency_written_as_loops(
    adjacency: str, normalisation: str, self_loops: bool, leaf: bool
) -> None:
    nodes, mask = made()
    links, linked = links_of(adjacency, nodes, mask), loop_linked(adjacency, nodes, mask)
    if leaf:
        there = torch.tensor([True, False, True, False, True])
        links = links.with_leaf(there)
        for b, some in enumerate(linked):
            grown = [[*part, 0.0] for part in some] + [[0.0] * (len(some) + 1)]
            grown[0][-1] = grown[-1][0] = float(there[b])
            linked[b] = grown
    found = dense(links.weighted(resolve(NORMALISATIONS[normalisation]), self_loops=self_loops), N + leaf, len(mask))
    for b, some in enumerate(linked):
        torch.testing.assert_close(found[b], torch.tensor(loop_weighted(some, normalisation, self_loops)))
    if normalisation == "symmetric":
        torch.testing.assert_close(found, found.transpose(1, 2))
    if normalisation == "row" and self_loops:
        torch.testing.assert_close(found.sum(dim=2), torch.ones(found.shape[:2]))


@pytest.mark.parametrize("k", [1, 3, 5, 20])
def test_the_knn_graph_links_what_is_near_to_either(k: int) -> None:
    nodes, mask = made()
    found = nearest_links(nodes[:, 0], nodes[:, 1:], mask, k).linked
    expected = loop_linked("knn", nodes, mask, k)
    assert found.float().tolist() == expected
    assert not found[0].any()


def expected_of(smoother: Smoother, nodes: Matrix, linked: Matrix, tail: bool) -> list[float]:
    """The anchor's row by the formula of a smoother."""
    how = smoother.form.normalisation
    if isinstance(smoother, Identity):
        return nodes[0]
    state = {name: value.tolist() for name, value in smoother.state_dict().items()}
    weights = {
        name: [list(part) for part in zip(*value, strict=True)]
        for name, value in state.items()
        if name.endswith("weight")
    }
    if isinstance(smoother, GNN):
        bare = loop_weighted(linked, how, False)
        for layer, bent in (("inner", True), ("outer", False)):
            own = plus(product(nodes, weights[f"{layer}_own.weight"]), state[f"{layer}_own.bias"])
            around = product(product(bare, nodes), weights[f"{layer}_around.weight"])
            nodes = [[x + y for x, y in zip(*both, strict=True)] for both in zip(own, around, strict=True)]
            nodes = relu(nodes) if bent else nodes
        return nodes[0]
    if isinstance(smoother, TailGNN):
        mean = loop_weighted(linked, "row", False)[0]
        size = len(nodes)
        linked = [[*part, 0.0] for part in linked] + [[0.0] * (size + 1)]
        linked[0][-1] = linked[-1][0] = float(tail)
        whole = loop_weighted(linked, how, True)
        nodes = [*nodes, loop_missing(nodes, mean, "missing", state, weights)]
        hidden = relu(plus(product(product(whole, nodes), weights["inner.weight"]), state["inner.bias"]))[:size]
        hidden.append(loop_missing(hidden, mean, "missing_hidden", state, weights))
        return plus(product(product(whole, hidden), weights["outer.weight"]), state["outer.bias"])[0]
    whole = loop_weighted(linked, how, True)
    hidden = relu(plus(product(product(whole, nodes), weights["inner.weight"]), state["inner.bias"]))
    if isinstance(smoother, ReleasedGCN):
        return product(whole, hidden)[0]
    last = plus(product(product(whole, hidden), weights["outer.weight"]), state["outer.bias"])[0]
    return [math.exp(x) / math.fsum(map(math.exp, last)) for x in last] if smoother.form.softmax else last


@pytest.mark.parametrize("name", SMOOTHERS)
@pytest.mark.parametrize(("adjacency", "normalisation"), CROSSED)
@pytest.mark.parametrize("moved", [False, True])
def test_a_smoother_is_its_formula_for_every_anchor(name: str, adjacency: str, normalisation: str, moved: bool) -> None:
    """moved: the anchors have a gradient, as under an encoder that is trained."""
    torch.manual_seed(1)
    nodes, mask = made()
    nodes.requires_grad_(moved)
    smoother = make_smoother(name, D, Form(adjacency, normalisation))
    assert isinstance(smoother, Smoother)
    found = smoother(nodes, mask)
    plain, linked = nodes.detach(), loop_linked(adjacency, nodes.detach(), mask)
    for b in range(len(mask)):
        tail = int(mask[b].sum()) < N / 2
        expected = torch.tensor(expected_of(smoother, plain[b].tolist(), linked[b], tail))
        torch.testing.assert_close(found[b], expected, rtol=1e-4, atol=1e-5)


def test_linked_to_itself_alone_a_gcn_is_an_mlp_of_the_same_size() -> None:
    nodes, mask = made()
    torch.manual_seed(2)
    gcn = GCN(D, Form("self"))
    expected = gcn.outer(torch.relu(gcn.inner(nodes[:, 0])))
    torch.testing.assert_close(gcn(nodes, mask), expected)
    torch.testing.assert_close(gcn(torch.cat([nodes[:, :1], nodes[:, 1:] * 7], dim=1), mask), expected)


def test_the_softmax_of_eq_10_is_of_the_gcn() -> None:
    nodes, mask = made()
    torch.manual_seed(1)
    smoother = GCN(D, Form("knn", "symmetric", softmax=True), hidden=3)
    found, linked = smoother(nodes, mask), loop_linked("knn", nodes, mask)
    for b in range(len(mask)):
        torch.testing.assert_close(found[b], torch.tensor(expected_of(smoother, nodes[b].tolist(), linked[b], False)))
    torch.testing.assert_close(found.sum(dim=1), torch.ones(len(mask)))


@pytest.mark.parametrize("name", SMOOTHERS)
@pytest.mark.parametrize("adjacency", ADJACENCIES)
def test_an_absent_neighbour_changes_nothing(name: str, adjacency: str) -> None:
    nodes, mask = made()
    other = nodes.clone()
    other[:, 1:][~mask] = 100.0
    torch.manual_seed(0)
    smoother = make_smoother(name, D, Form(adjacency))
    torch.testing.assert_close(smoother(nodes, mask), smoother(other, mask))


@pytest.mark.parametrize("name", SMOOTHERS)
@pytest.mark.parametrize(("adjacency", "normalisation"), CROSSED)
def test_without_neighbours_there_are_numbers_and_gradients(name: str, adjacency: str, normalisation: str) -> None:
    """All masked, none at all, no anchor at all."""
    torch.manual_seed(0)
    smoother = make_smoother(name, 16, Form(adjacency, normalisation))
    for batch, n in ((3, N), (3, 0), (0, N)):
        nodes = torch.randn(batch, 1 + n, 16, requires_grad=True)
        found = smoother(nodes, torch.zeros(batch, n, dtype=torch.bool))
        assert found.shape == (batch, 16)
        found.square().sum().backward()
        assert nodes.grad is not None
        assert torch.isfinite(nodes.grad).all()
        assert bool((nodes.grad[:, 0].abs().sum(dim=1) > 0).all())
        assert not nodes.grad[:, 1:].any()


@pytest.mark.parametrize("name", SMOOTHERS)
@pytest.mark.parametrize("adjacency", ADJACENCIES)
def test_gradients_reach_the_anchor_and_what_it_is_linked_to(name: str, adjacency: str) -> None:
    torch.manual_seed(0)
    nodes, mask = made(dimension=16)
    nodes.requires_grad_(True)
    make_smoother(name, 16, Form(adjacency))(nodes, mask).square().sum().backward()
    assert nodes.grad is not None
    reached = nodes.grad.abs().sum(dim=2) > 0
    assert reached[:, 0].all()
    assert not reached[:, 1:][~mask].any()
    if name == "identity" or adjacency == "self":
        assert not reached[:, 1:].any()
    else:
        assert reached[1, 1:].all(), "the second anchor has all its neighbours"


def test_without_neighbours_the_gcn_is_a_plain_mlp() -> None:
    nodes, mask = made()
    torch.manual_seed(2)
    gcn = GCN(D)
    mlp = gcn.outer(torch.relu(gcn.inner(nodes[:, 0])))
    torch.testing.assert_close(gcn(nodes, torch.zeros_like(mask)), mlp)


def test_only_a_tail_anchor_gets_its_missing_neighbour() -> None:
    """With half its neighbours or more an anchor has the GCN of the same weights, to rounding."""
    torch.manual_seed(0)
    tail_gnn, gcn = TailGNN(D), GCN(D)
    gcn.load_state_dict({name: value for name, value in tail_gnn.state_dict().items() if "missing" not in name})
    nodes = torch.randn(N + 1, 1 + N, D)
    mask = torch.tensor([[i < known for i in range(N)] for known in range(N + 1)])
    same = [torch.allclose(*both, atol=1e-5) for both in zip(tail_gnn(nodes, mask), gcn(nodes, mask), strict=True)]
    assert same == [known >= N / 2 for known in range(N + 1)]


def test_the_missing_neighbour_is_the_translation_less_what_is_there() -> None:
    torch.manual_seed(0)
    missing = MissingNeighbour(D)
    own, around = torch.randn(3, D), torch.randn(3, D)
    with torch.no_grad():
        missing.scale.weight.zero_()
        missing.shift.weight.zero_()
    torch.testing.assert_close(missing(own, around), own + missing.translation - around)


def test_a_star_makes_nothing_as_large_as_its_square() -> None:
    edges = Star(torch.zeros(1), torch.zeros(1), torch.ones(5, N, dtype=torch.bool)).weighted(row)
    assert max(part.numel() for part in vars(edges).values()) == 5 * N
