"""The two stores say what `HeteroData` says, read no more than they are asked for, and files come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.errors import MissingDependencyError, RunDirectoryError
from csrms_dist.interop.graph_arrays import INSTANCE, arrays_of
from csrms_dist.run_contents import RunContents
from tests.unit.interop.made import SPLIT, made_run

try:
    from csrms_dist.interop import pyg
except MissingDependencyError:
    pytest.skip("PyTorch Geometric is not installed", allow_module_level=True)


@pytest.fixture(scope="module", params=[False, True], ids=["one label", "several labels"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return made_run(tmp_path_factory.mktemp("run"), multi_label=request.param)


def test_the_stores_hold_what_the_data_hold(run: RunDirectory) -> None:
    data = pyg.hetero_data(run)
    assert data.validate()
    features, graph = pyg.stores(run.path)
    tensors = [
        (kind, name) for kind in data.node_types for name, v in data[kind].items() if isinstance(v, torch.Tensor)
    ]
    assert {(attr.group_name, attr.attr_name) for attr in features.get_all_tensor_attrs()} == set(tensors)
    for kind, name in tensors:
        expected = data[kind][name]
        assert torch.equal(features.get_tensor(kind, name, None), expected)
        assert features.get_tensor_size(kind, name) == tuple(expected.shape)
        rows = torch.tensor([2, 0, 2])
        indices: list[Any] = [rows, [1, 0], slice(1, 3), 1, torch.arange(len(expected)) % 2 == 0]
        for index in indices:
            assert torch.equal(features.get_tensor(kind, name, index), expected[index])
        assert torch.equal(features[kind, name, None], expected)
    for edge_type, edges in data.edge_index_dict.items():
        found = graph.get_edge_index(edge_type, "coo")
        assert torch.equal(torch.stack(found), edges)
    assert [attr.edge_type for attr in graph.get_all_edge_attrs()] == data.edge_types
    rows, columns, _ = graph.csc()
    for edge_type, pointers in columns.items():
        target = data[edge_type[2]].num_nodes
        assert pointers.diff().tolist() == torch.bincount(data[edge_type].edge_index[1], minlength=target).tolist()
        assert len(rows[edge_type]) == data[edge_type].num_edges


def test_nothing_can_be_put_into_the_stores_or_taken_out(run: RunDirectory) -> None:
    features, graph = pyg.stores(run)
    edge_type = graph.get_all_edge_attrs()[0].edge_type
    assert features.put_tensor(torch.zeros(3), "instance", "z", None) is False
    assert features.remove_tensor("instance", "x", None) is False
    assert graph.put_edge_index((torch.zeros(1), torch.zeros(1)), edge_type, "coo") is False
    assert graph.remove_edge_index(edge_type, "coo") is False
    assert features.get_tensor("instance", "z", None) is None
    assert features.get_tensor_size("image", "x") is None
    with pytest.raises(KeyError, match="not found"):
        graph.get_edge_index(edge_type, "csr")


def test_a_loader_joins_its_batches_from_the_stores(run: RunDirectory) -> None:
    from torch_geometric.loader import NodeLoader
    from torch_geometric.sampler import BaseSampler, HeteroSamplerOutput

    edge_type, (features, graph) = ("instance", "in_pattern", "pattern"), pyg.stores(run)
    _, patterns = graph.get_edge_index(edge_type, "coo")

    class OwnPattern(BaseSampler):  # type: ignore[misc]
        def sample_from_nodes(self, index: Any, **_: Any) -> Any:
            around, place = patterns[index.node].unique(return_inverse=True)
            node = {"instance": index.node, "pattern": around}
            row = {edge_type: torch.arange(len(index.node))}
            return HeteroSamplerOutput(node, row, {edge_type: place}, None, metadata=(index.input_id, None))

        def sample_from_edges(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

    loader = NodeLoader((features, graph), OwnPattern(), input_nodes="instance", batch_size=25)
    batches, data = list(loader), pyg.hetero_data(run)
    assert torch.equal(torch.cat([batch["instance"].x for batch in batches]), data["instance"].x)
    assert torch.equal(torch.cat([batch["instance"].y for batch in batches]), data["instance"].y)
    here = batches[1]
    own = here["pattern"].x[here[edge_type].edge_index[1]]
    assert torch.equal(own, data["pattern"].x[patterns[25:50]])


def test_a_row_of_features_is_read_alone(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    found = arrays_of(run)
    monkeypatch.setattr(type(found.nodes[INSTANCE]["x"]), "whole", lambda _: pytest.fail("all rows were read"))
    assert pyg.RunFeatureStore(found).get_tensor("instance", "x", [0, 59]).shape == (2, 6)


def test_training_rows_alone_are_mapped_and_not_copied(run: RunDirectory) -> None:
    given = arrays_of(run, held_out=False)
    vectors = given.nodes[INSTANCE]["x"].whole()
    assert isinstance(vectors, np.memmap)
    assert pyg.RunFeatureStore(given).get_tensor("instance", "x", None).data_ptr() == vectors.ctypes.data
    data = pyg.hetero_data(run, held_out=False)
    assert data["instance"].num_nodes == SPLIT.count("train")
    assert torch.equal(data["instance"].x, torch.tensor(RunContents(run).vectors))


def test_a_file_comes_back_without_running_its_code(run: RunDirectory, tmp_path: Path) -> None:
    out = tmp_path / "below" / "graph.pt"
    said = pyg.export(run, out)
    assert said.startswith("HeteroData of 68 nodes and ")
    assert [path.name for path in out.parent.iterdir()] == ["graph.pt"]
    found, expected = pyg.load(out), pyg.hetero_data(run)
    assert found.metadata() == expected.metadata()
    for one, other in zip(found.stores, expected.stores, strict=True):
        assert list(one) == list(other)
        for name, value in one.items():
            assert torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name]
    with pytest.raises(RunDirectoryError, match="graph"):
        pyg.export(RunDirectory(tmp_path / "none"), out)
