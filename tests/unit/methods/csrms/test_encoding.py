"""Neighbours from the bank, or encoded in the step: whose feature it is, how many are encoded, where gradients go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.basics.collective import Collective
from csrms_dist.basics.lookup import resolve
from csrms_dist.methods.csrms.encoding import ENCODINGS
from csrms_dist.methods.csrms.encoding.encoding import Encoded
from csrms_dist.methods.protocol import Batch
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.sampling import BatchSubgraph, Edges

ROWS, D, WIDTH = 12, 5, 3
FEATURES = np.random.default_rng(0).normal(size=(ROWS, D)).astype(np.float32)

DRAWN = st.lists(st.lists(st.integers(0, ROWS - 1), max_size=WIDTH, unique=True), min_size=1, max_size=5)


def subgraph_of(anchors: list[int], drawn: dict[str, list[list[int]]]) -> BatchSubgraph:
    edges = {}
    for kind, lists in drawn.items():
        anchor = [a for a, found in enumerate(lists) for _ in found]
        neighbour = [row for found in lists for row in found]
        edges[kind] = Edges(np.array(anchor, np.int64), np.array(neighbour, np.int64))
    return BatchSubgraph(np.array(anchors, np.int64), edges)


@pytest.mark.parametrize("name", ENCODINGS)
@given(data=st.data())
def test_a_neighbour_has_its_own_feature_and_its_gradient(name: str, data: st.DataObject) -> None:
    positives = data.draw(DRAWN)
    n = len(positives)
    negatives = data.draw(
        st.lists(st.lists(st.integers(0, ROWS - 1), max_size=WIDTH, unique=True), min_size=n, max_size=n)
    )
    rows = data.draw(st.lists(st.integers(0, ROWS - 1), min_size=n, max_size=n))
    drawn = {"positive": positives, "negative": negatives}
    encoding, subgraph = resolve(ENCODINGS[name])(), subgraph_of(rows, drawn)
    more = encoding.more_rows(np.array(rows), subgraph)
    every = [row for lists in drawn.values() for found in lists for row in found]
    expected = {"bank": [], "unique": sorted(set(every) - set(rows)), "full": every}[name]
    assert more.tolist() == expected

    weight = torch.eye(D, requires_grad=True)
    features = torch.from_numpy(FEATURES[np.concatenate([rows, more]).astype(int)]) @ weight
    encoded, bank = Encoded(np.array(rows), more, features), FeatureBank(FEATURES)
    for kind, lists in drawn.items():
        index, mask = subgraph.dense(kind, WIDTH)
        found = encoding.of(subgraph, kind, index, mask, encoded, bank)
        assert found.shape == (n, WIDTH, D)
        for a, some in enumerate(lists):
            for rank, row in enumerate(some):
                assert mask[a, rank]
                torch.testing.assert_close(found[a, rank], torch.from_numpy(FEATURES[row]))
        assert found.requires_grad is (name != "bank")


@pytest.mark.parametrize("reading", ["structural", "paper"])
@pytest.mark.parametrize("name", ENCODINGS)
def test_the_gradient_of_an_image_goes_through_those_that_draw_it(digits_run: Any, name: str, reading: str) -> None:
    """Images that are drawn get a gradient by the relation terms, unless they come from the bank."""
    method, sampler = digits_run.csrms(reading, weight_attract=0.5)
    method.encoding = resolve(ENCODINGS[name])()
    rows = np.arange(0, 64, 2)
    subgraph = sampler.sample(rows, 0)
    more = method.more_rows(rows, rows, subgraph)
    inputs = digits_run.data.inputs(rows, 0)
    more_inputs = None if more is None else digits_run.data.inputs(more, 0).requires_grad_()
    membership = torch.from_numpy(digits_run.data.membership[rows].toarray().astype(np.float32))
    outcome = method.batch(Batch(rows, inputs, membership, rows, subgraph, more, more_inputs), Collective())
    outcome.terms["negative"].backward(retain_graph=True)
    if name == "bank":
        assert more_inputs is None
    else:
        assert more is not None
        assert more_inputs is not None
        negatives = subgraph.edges["negative"].neighbour
        moved = more_inputs.grad.abs().flatten(1).sum(dim=1) > 0
        assert bool(moved[torch.from_numpy(np.isin(more, negatives))].any())
        if name == "unique":
            assert not bool(moved[torch.from_numpy(~np.isin(more, negatives))].any())
