"""Every loss term in two real processes is that of one: its value, its gradient, and what is reported beside it.

The workers run this file as a module: gloo, a rendezvous by file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from csrms_dist.basics.collective import Collective
from csrms_dist.basics.lookup import resolve
from csrms_dist.losses.separation import Separation
from csrms_dist.losses.term import Reducer, Term, View
from csrms_dist.losses.terms import TERMS
from csrms_dist.sampling.subgraph import NEGATIVE, POSITIVE
from tests.equivalence.processes import two_processes, work

B, N, INPUTS, D, K = 11, 3, 7, 6, 4
BATCHES = {"uneven slices": B, "one row on the second worker": 3, "no row on the second worker": 1}
FORMS = [(name, form) for name, entry in TERMS.items() for form in (entry.forms or ("",))]


def view(n: int, several: bool, reducer: Reducer, mine: slice) -> tuple[View, list[Tensor]]:
    """This worker's part of a batch of n rows, and the parameters that its features and heads are made by."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    inputs, drawn, mask = random(B, INPUTS), random(2, B, N, D), random(2, B, N) > -0.3
    parameters = [random(D, INPUTS).requires_grad_(), random(K, D).requires_grad_(), random(D, D).requires_grad_()]
    membership = one_hot(torch.arange(B) % 3, K).float()
    # One positive and one negative: alone on its worker, row 1 is what the library takes for no pair.
    mask[:, 1] = torch.tensor([True, False, False])
    if several:
        membership[::2, 1] = 1
    weights = torch.linspace(0.1, 1.9, B)[:n]
    features = torch.tanh(nn.functional.linear(inputs[:n][mine], parameters[0]))

    def classify(rows: Tensor) -> Tensor:
        return nn.functional.linear(rows, parameters[1])

    made = View(
        features,
        {"plain": classify(features), "graph": classify(features) / 2},
        features @ parameters[2],
        membership[:n][mine],
        lambda kind: (drawn[int(kind == NEGATIVE), :n][mine], mask[int(kind == NEGATIVE), :n][mine]),
        reducer,
        weights[mine] * n / weights.sum(),
        labels_per_image=1.5 if several else None,
        classify=classify,
        prototypes=lambda: (drawn[0, :n, 0][mine], drawn[1, :n, 0][mine]),
    )
    return made, parameters


def value_and_gradient(term: Term, n: int, several: bool, collective: Collective) -> dict[str, Any]:
    mine = slice(collective.rank, None, collective.world)
    made, parameters = view(n, several, Reducer(n, collective), mine)
    value = term.of(made)
    value.backward()  # type: ignore[no-untyped-call]
    collective.sum_gradients(parameters)
    return {"value": collective.all_sum(value.detach()), "gradients": [p.grad for p in parameters]}


def observed(n: int, several: bool, collective: Collective) -> dict[str, Tensor]:
    """Mean over the workers, as the training loop makes it."""
    made, _ = view(n, several, Reducer(n, collective), slice(collective.rank, None, collective.world))
    found = Separation().of(made, (POSITIVE, NEGATIVE))
    return {name: collective.all_sum(torch.stack([s.double(), c.double()])) for name, (s, c) in found.items()}


def everything(collective: Collective) -> dict[str, Any]:
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for batch, n in BATCHES.items():
        for several in (False, True):
            for name, form in FORMS:
                term = resolve(TERMS[name].place)(**({"form": form} if form else {}))
                found[f"{name} {form} {batch} {several}"] = value_and_gradient(term, n, several, collective)
            found[f"observed {batch} {several}"] = observed(n, several, collective)
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(one worker, two workers)."""
    folder = tmp_path_factory.mktemp("terms")
    with two_processes("tests.equivalence.test_loss_terms", folder, 120) as found:
        return everything(Collective()), found()


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(("name", "form"), FORMS)
def test_two_workers_are_one(runs: Any, name: str, form: str, several: bool, batch: str) -> None:
    alone, pair = runs
    key = f"{name} {form} {batch} {several}"
    for two in pair:
        torch.testing.assert_close(two[key]["value"], alone[key]["value"], rtol=0, atol=1e-6)
        for found, expected in zip(two[key]["gradients"], alone[key]["gradients"], strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    if batch == "uneven slices" and (name, form) != ("inter_class", "released"):
        assert float(alone[key]["gradients"][0].abs().max()) > 1e-3  # a comparison of zeros shows nothing


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("several", [False, True])
def test_two_workers_report_the_same_means(runs: Any, several: bool, batch: str) -> None:
    alone, pair = runs
    for two in pair:
        found, expected = two[f"observed {batch} {several}"], alone[f"observed {batch} {several}"]
        assert found.keys() == expected.keys()
        for name, (total, number) in expected.items():
            assert bool(found[name][1] > 0) is bool(number > 0), name
            if number > 0:
                torch.testing.assert_close(found[name][0] / found[name][1], total / number, rtol=1e-5, atol=1e-6)


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), everything)
