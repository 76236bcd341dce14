"""The heterograph holds what `GraphArrays` tells, and a file of it comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.errors import MissingDependencyError
from csrms_dist.interop import dgl_graph
from csrms_dist.interop.graph_arrays import arrays_of
from csrms_dist.sampling.dgl_sampler import require_dgl
from tests.unit.interop.made import made_run

try:
    dgl, _ = require_dgl()
except MissingDependencyError:
    pytest.skip("DGL is not installed", allow_module_level=True)


@pytest.fixture(scope="module", params=[False, True], ids=["one label", "several labels"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return made_run(tmp_path_factory.mktemp("run"), multi_label=request.param)


@pytest.mark.parametrize("held_out", [True, False])
def test_the_heterograph_holds_what_the_arrays_hold(run: RunDirectory, *, held_out: bool) -> None:
    graph, given = dgl_graph.heterograph(run, held_out=held_out), arrays_of(run, held_out=held_out)
    assert {kind: graph.num_nodes(kind) for kind in graph.ntypes} == given.sizes
    for kind, columns in given.nodes.items():
        assert set(graph.nodes[kind].data) == set(columns)
        for name, column in columns.items():
            assert np.array_equal(graph.nodes[kind].data[name].numpy(), column.whole())
    assert set(graph.canonical_etypes) == set(given.edges)
    for relation, edges in given.edges.items():
        source, target = graph.edges(etype=relation, order="eid")
        assert np.array_equal(source.numpy(), edges.source)
        assert np.array_equal(target.numpy(), edges.target)
        for name, values in edges.columns.items():
            assert np.array_equal(graph.edges[relation].data[name].numpy(), values)


def test_a_file_comes_back(run: RunDirectory, tmp_path: Path) -> None:
    out = tmp_path / "graph.bin"
    assert dgl_graph.export(run, out).startswith("a heterograph of 68 nodes and ")
    assert [path.name for path in tmp_path.iterdir()] == ["graph.bin"]
    (found,), _ = dgl.load_graphs(str(out))
    expected = dgl_graph.heterograph(run)
    assert found.canonical_etypes == expected.canonical_etypes
    for kind in expected.ntypes:
        assert all(torch.equal(found.nodes[kind].data[name], v) for name, v in expected.nodes[kind].data.items())
