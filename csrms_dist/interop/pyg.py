"""A stored run as PyTorch Geometric's `HeteroData`, and as its `FeatureStore` and `GraphStore`.

Importing this raises MissingDependencyError where PyTorch Geometric is not installed (`csrms-dist[pyg]`).
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.arrays import I64
from csrms_dist.basics.words import counted
from csrms_dist.errors import require
from csrms_dist.interop.graph_arrays import Column, GraphArrays, Source, arrays_of
from csrms_dist.interop.tensors import tensor_of, written_whole

with warnings.catch_warnings():  # PyG 2.8 uses what torch 2.14 deprecates, and says so when it is imported
    warnings.simplefilter("ignore")
    require("torch_geometric", "pyg")
    from torch_geometric.data import EdgeAttr, FeatureStore, GraphStore, HeteroData, TensorAttr
    from torch_geometric.data.graph_store import EdgeLayout


def hetero_data(source: Source, *, held_out: bool = True, with_test_labels: bool = False) -> HeteroData:
    """A run, or a snapshot alone, as a `HeteroData` with what `GraphArrays` tells, texts as lists.

    Without held-out rows `x` is the feature file itself, memory-mapped; with them the two files are joined, a copy.
    Writing to a tensor changes no file. Raises RunDirectoryError for a run whose graph was not made.
    """
    found, data = arrays_of(source, held_out=held_out, with_test_labels=with_test_labels), HeteroData()
    for kind, columns in found.nodes.items():
        data[kind].num_nodes = found.sizes[kind]
        for name, column in columns.items():
            data[kind][name] = tensor_of(column.whole())
    for (kind, name), some in found.text_lists().items():
        data[kind][name] = some
    for relation, edges in found.edges.items():
        data[relation].edge_index = torch.from_numpy(np.stack([edges.source, edges.target]))
        for name, values in edges.columns.items():
            data[relation][name] = tensor_of(values)
    return data


def stores(
    source: Source, *, held_out: bool = True, with_test_labels: bool = False
) -> tuple[RunFeatureStore, RunGraphStore]:
    """The same as two stores for loaders: a row of features is read from its file when it is asked for."""
    found = arrays_of(source, held_out=held_out, with_test_labels=with_test_labels)
    return RunFeatureStore(found), RunGraphStore(found)


class RunFeatureStore(FeatureStore):  # type: ignore[misc]
    """The figures of the nodes of a run, to be read by name and index. Nothing can be put in or taken out."""

    def __init__(self, found: GraphArrays) -> None:
        super().__init__()
        self._nodes = found.nodes

    def _column(self, attr: TensorAttr) -> Column | None:
        return self._nodes.get(attr.group_name, {}).get(attr.attr_name)

    def _get_tensor(self, attr: TensorAttr) -> Tensor | None:
        column = self._column(attr)
        if column is None:
            return None
        if attr.index is None:
            return tensor_of(column.whole())
        rows = _rows(attr.index, column.shape[0])
        found = torch.from_numpy(column.take(np.atleast_1d(rows)))
        return found if rows.ndim else found[0]

    def _get_tensor_size(self, attr: TensorAttr) -> tuple[int, ...] | None:
        column = self._column(attr)
        return None if column is None else column.shape

    def get_all_tensor_attrs(self) -> list[TensorAttr]:
        """Every figure of every node type."""
        return [TensorAttr(kind, name) for kind, columns in self._nodes.items() for name in columns]

    def _put_tensor(self, tensor: Any, attr: TensorAttr) -> bool:
        return False

    def _remove_tensor(self, attr: TensorAttr) -> bool:
        return False


def _rows(index: Any, n: int) -> I64:
    """The rows of an index as PyG allows it: a number, a slice, a mask, numbers. Raises IndexError as NumPy does."""
    if isinstance(index, slice):
        return np.arange(n)[index]
    numbers = index.cpu().numpy() if isinstance(index, Tensor) else np.asarray(index)
    return np.arange(n)[numbers] if numbers.size else np.zeros(0, np.int64)


class RunGraphStore(GraphStore):  # type: ignore[misc]
    """The edges of a run in COO layout. Nothing can be put in or taken out."""

    def __init__(self, found: GraphArrays) -> None:
        super().__init__()
        self._edges, self._sizes = found.edges, found.sizes

    def _get_edge_index(self, edge_attr: EdgeAttr) -> tuple[Tensor, Tensor] | None:
        edges = self._edges.get(edge_attr.edge_type)
        if edges is None or edge_attr.layout != EdgeLayout.COO:
            return None
        return tensor_of(edges.source), tensor_of(edges.target)

    def get_all_edge_attrs(self) -> list[EdgeAttr]:
        """Every edge type, with the numbers of its nodes."""
        return [
            EdgeAttr(relation, EdgeLayout.COO, size=(self._sizes[relation[0]], self._sizes[relation[2]]))
            for relation in self._edges
        ]

    def _put_edge_index(self, edge_index: Any, edge_attr: EdgeAttr) -> bool:
        return False

    def _remove_edge_index(self, edge_attr: EdgeAttr) -> bool:
        return False


def export(run: RunDirectory, out: Path) -> str:
    """Write a run's `HeteroData` to a file that `load` reads; what was written, in a sentence.

    The file holds tensors and lists in dictionaries and no object of PyG. Raises RunDirectoryError for a run whose
    graph was not made and for a place that cannot be written.
    """
    data = hetero_data(run)
    written_whole(out, lambda staged: torch.save(data.to_dict(), staged))
    return (
        f"HeteroData of {counted(data.num_nodes, 'node')} and {counted(data.num_edges, 'edge')}, test labels "
        "left out; csrms_dist.interop.pyg.load reads it"
    )


def load(path: str | Path) -> HeteroData:
    """What `export` wrote. No code of the file is run."""
    return HeteroData.from_dict(torch.load(path, weights_only=True))
