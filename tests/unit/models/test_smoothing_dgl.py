"""Smoothers against DGL's layers on the same graphs, one an anchor."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from csrms_dist.errors import MissingDependencyError
from csrms_dist.models.smoothing import ADJACENCIES
from csrms_dist.models.smoothing.form import Form
from csrms_dist.models.smoothing.gcn import GCN
from csrms_dist.models.smoothing.gnn import GNN
from csrms_dist.models.smoothing.tail_gnn import TailGNN
from csrms_dist.sampling.dgl_sampler import require_dgl
from tests.unit.models.plain_smoothing import loop_linked, made

try:
    dgl, _ = require_dgl()
    from dgl.nn.pytorch import GraphConv, SAGEConv
except MissingDependencyError:
    pytest.skip("DGL is not installed", allow_module_level=True)

D, N = 4, 6
NORMS = {"row": "right", "symmetric": "both"}


def graphs(adjacency: str, nodes: Tensor, mask: Tensor, *, self_loops: bool) -> list[object]:
    """Of each anchor, node 0 first. An absent neighbour is a node alone."""
    found = []
    for linked in loop_linked(adjacency, nodes, mask):
        edges = torch.tensor(linked).nonzero().T
        graph = dgl.graph((edges[0], edges[1]), num_nodes=len(linked))
        found.append(dgl.add_self_loop(graph) if self_loops else graph)
    return found


def conv(layer: torch.nn.Linear, norm: str) -> torch.nn.Module:
    """DGL's graph convolution with the weights of a layer."""
    made_here = GraphConv(layer.in_features, layer.out_features, norm=norm, allow_zero_in_degree=True)
    made_here.weight.data, made_here.bias.data = layer.weight.data.T.contiguous(), layer.bias.data.clone()
    return made_here


@pytest.mark.parametrize("adjacency", ADJACENCIES)
@pytest.mark.parametrize("normalisation", NORMS)
@pytest.mark.parametrize("kind", [GCN, TailGNN])
def test_the_gcn_is_two_of_dgls_graph_convolutions(
    adjacency: str, normalisation: str, kind: type[GCN] | type[TailGNN]
) -> None:
    """Of Tail-GNN the anchors that are no tail."""
    torch.manual_seed(0)
    nodes, mask = made(batch=12)
    smoother = kind(D, Form(adjacency, normalisation))
    inner, outer = (conv(layer, NORMS[normalisation]) for layer in (smoother.inner, smoother.outer))
    found = smoother(nodes, mask)
    whole = [b for b in range(12) if kind is GCN or int(mask[b].sum()) >= N / 2]
    assert len(whole) > 6
    every = graphs(adjacency, nodes, mask, self_loops=True)
    for b in whole:
        expected = outer(every[b], torch.relu(inner(every[b], nodes[b])))[0]
        torch.testing.assert_close(found[b], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("adjacency", ADJACENCIES)
def test_the_gnn_is_two_of_dgls_sage_layers_with_means(adjacency: str) -> None:
    torch.manual_seed(0)
    nodes, mask = made(batch=12)
    smoother = GNN(D, Form(adjacency, "row"))
    layers = []
    for own, around in (
        (smoother.inner_own, smoother.inner_around),
        (smoother.outer_own, smoother.outer_around),
    ):
        layer = SAGEConv(D, D, "mean")
        layer.fc_self.weight.data, layer.fc_neigh.weight.data = own.weight.data, around.weight.data
        (layer.bias if getattr(layer, "bias", None) is not None else layer.fc_self.bias).data = own.bias.data
        layers.append(layer)
    found = smoother(nodes, mask)
    for b, graph in enumerate(graphs(adjacency, nodes, mask, self_loops=False)):
        expected = layers[1](graph, torch.relu(layers[0](graph, nodes[b])))[0]
        torch.testing.assert_close(found[b], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("adjacency", ADJACENCIES)
def test_the_gnn_on_a_symmetric_adjacency_is_dgls_convolution_beside_the_own_layer(adjacency: str) -> None:
    torch.manual_seed(0)
    nodes, mask = made(batch=12)
    smoother = GNN(D, Form(adjacency, "symmetric"))
    around = []
    for layer in (smoother.inner_around, smoother.outer_around):
        made_here = GraphConv(D, D, norm="both", bias=False, allow_zero_in_degree=True)
        made_here.weight.data = layer.weight.data.T.contiguous()
        around.append(made_here)
    found = smoother(nodes, mask)
    for b, graph in enumerate(graphs(adjacency, nodes, mask, self_loops=False)):
        hidden = torch.relu(smoother.inner_own(nodes[b]) + around[0](graph, nodes[b]))
        expected = (smoother.outer_own(hidden) + around[1](graph, hidden))[0]
        torch.testing.assert_close(found[b], expected, rtol=1e-4, atol=1e-5)
