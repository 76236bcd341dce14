"""A finished run in PyTorch Geometric and DGL: docs/others_tools.md as it stands there, and small nets that learn."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.errors import MissingDependencyError
from csrms_dist.interop.graph_arrays import arrays_of
from csrms_dist.run_contents import RunContents
from tests.end_to_end.harness import ROOT, Run

PAGE = (ROOT / "docs" / "others_tools.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
STEPS = 30


def learn(
    logits: Callable[[], torch.Tensor], parameters: list[torch.nn.Parameter], y: torch.Tensor, mask: torch.Tensor
) -> list[float]:
    """The losses of some steps on the rows of a mask."""
    optimiser, losses = torch.optim.Adam(parameters, lr=0.01), []
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits()[mask], y[mask])
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def learnt(found: torch.Tensor, y: torch.Tensor, mask: torch.Tensor) -> float:
    """The share of the rows of a mask whose class is found."""
    assert int(mask.sum()) > 100
    assert int(y[mask].min()) >= 0
    return float((found[mask].argmax(dim=1) == y[mask]).float().mean())


@pytest.fixture
def executed(finished: Run, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the page's code made, in the folder of a run."""
    monkeypatch.chdir(finished.folder)
    names: dict[str, Any] = {}
    torch.manual_seed(0)
    try:
        for block in BLOCKS:
            exec(compile(block, "others_tools.md", "exec"), names)  # noqa: S102
    except MissingDependencyError as error:
        pytest.skip(str(error))
    return names


def test_the_page_is_short_and_its_net_learns(executed: dict[str, Any], finished: Run) -> None:
    assert len(PAGE.split()) <= 350
    data, logits = executed["data"], executed["logits"]
    logits()  # the layers find their sizes
    parameters = [*executed["first"].parameters(), *executed["second"].parameters()]
    instance = data["instance"]
    losses = learn(logits, parameters, instance.y, instance.train_mask)
    assert losses[-1] < losses[0] / 2
    assert learnt(logits(), instance.y, instance.val_mask) > 0.5, "chance is 0.1"
    assert instance.y[instance.test_mask].tolist() == [-1] * int(instance.test_mask.sum())
    every = instance.x
    assert torch.equal(executed["few"], every[[0, 7]])
    contents = RunContents(RunDirectory(finished.directory))
    assert len(every) == len(contents.features) + len(contents.held_out or ())
    assert executed["pointers"]["instance", "in_pattern", "pattern"][-1] == len(every)


def test_the_heterograph_is_one_that_dgl_s_layers_learn_on(executed: dict[str, Any]) -> None:
    import dgl
    from dgl.nn.pytorch import HeteroGraphConv, SAGEConv

    edges = ["in_pattern", "rev_in_pattern"]
    graph = dgl.AddReverse(sym_new_etype=True)(executed["heterogeneous"]).edge_type_subgraph(edges)
    x = {kind: graph.nodes[kind].data["x"] for kind in graph.ntypes}
    here, there = x["instance"].shape[1], x["pattern"].shape[1]
    sizes = dict(zip(edges, [(here, there), (there, here)], strict=True))
    first = HeteroGraphConv({name: SAGEConv(sizes[name], 64, "mean") for name in edges})
    second = HeteroGraphConv({name: SAGEConv(64, 10, "mean") for name in edges})

    def logits() -> torch.Tensor:
        hidden = first(graph, x)
        return second(graph, {kind: some.relu() for kind, some in hidden.items()})["instance"]

    data = graph.nodes["instance"].data
    losses = learn(logits, [*first.parameters(), *second.parameters()], data["y"], data["train_mask"])
    assert losses[-1] < losses[0] / 2
    assert learnt(logits(), data["y"], data["val_mask"]) > 0.5, "chance is 0.1"
    assert set(data["y"][data["test_mask"]].tolist()) == {-1}


def test_the_labels_of_the_test_split_come_on_demand_and_are_the_right_ones(finished: Run) -> None:
    contents = RunContents(RunDirectory(finished.directory))
    table = contents.held_out
    assert table is not None
    nodes = arrays_of(finished.directory, with_test_labels=True).nodes["instance"]
    assert nodes["y"].whole()[len(contents.features) :].tolist() == table.labels.toarray().argmax(axis=1).tolist()
    hidden = arrays_of(finished.directory)
    test = hidden.nodes["instance"]["test_mask"].whole()
    edges = hidden.edges["instance", "has_label", "class"]
    assert set(np.flatnonzero(test)).isdisjoint(edges.source.tolist())
