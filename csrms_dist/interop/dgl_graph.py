"""A stored run as a DGL heterograph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.words import counted
from csrms_dist.interop.graph_arrays import Source, arrays_of
from csrms_dist.interop.tensors import tensor_of, written_whole
from csrms_dist.sampling.dgl_sampler import require_dgl

if TYPE_CHECKING:
    from dgl import DGLGraph


def heterograph(source: Source, *, held_out: bool = True, with_test_labels: bool = False) -> DGLGraph:
    """A run, or a snapshot alone, as a heterograph with what `GraphArrays` tells but for its texts.

    Without held-out rows `x` is the feature file itself, memory-mapped; with them the two files are joined, a copy.
    Writing to a tensor changes no file. Raises MissingDependencyError where DGL is not installed, RunDirectoryError for
    a run whose graph was not made.
    """
    dgl, _ = require_dgl()
    found = arrays_of(source, held_out=held_out, with_test_labels=with_test_labels)
    relations = {name: (tensor_of(some.source), tensor_of(some.target)) for name, some in found.edges.items()}
    graph = dgl.heterograph(relations, num_nodes_dict=dict(found.sizes))
    for kind, columns in found.nodes.items():
        for name, column in columns.items():
            graph.nodes[kind].data[name] = tensor_of(column.whole())
    for relation, edges in found.edges.items():
        for name, values in edges.columns.items():
            graph.edges[relation].data[name] = tensor_of(values)
    return graph


def export(run: RunDirectory, out: Path) -> str:
    """Write a run's heterograph to a file that `dgl.load_graphs` reads; what was written, in a sentence.

    Raises MissingDependencyError where DGL is not installed, RunDirectoryError for a run whose graph was not made and
    for a place that cannot be written.
    """
    dgl, _ = require_dgl()
    graph = heterograph(run)
    written_whole(out, lambda staged: dgl.save_graphs(str(staged), [graph]))
    return (
        f"a heterograph of {counted(graph.num_nodes(), 'node')} and {counted(graph.num_edges(), 'edge')}, test "
        "labels left out; dgl.load_graphs reads it"
    )
