"""What every entry of TERMS keeps: where its gradient goes, and batches that have little for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from csrms_dist.basics.lookup import resolve
from csrms_dist.losses.objective import Objective
from csrms_dist.losses.term import Term, View
from csrms_dist.losses.terms import TERMS
from csrms_dist.sampling.subgraph import NEGATIVE

B, N, D, K = 6, 4, 5, 3
LABELS = [0, 1, 0, 2, 1, 0]

FORMS = [(name, form) for name, entry in TERMS.items() for form in (entry.forms or ("",))]

WITHOUT_GRADIENT = [("inter_class", "released")]


def made_term(name: str, form: str) -> Term:
    term: Term = resolve(TERMS[name].place)(**({"form": form} if form else {}))
    return term


class Small:
    """Features that can be differentiated, and a view of them in which heads and smoother are linear."""

    def __init__(self, labels: list[int], *, neighbours: float = 0.7, several: bool = False, **changed: Any) -> None:
        generator = torch.Generator().manual_seed(3)
        n = len(labels)
        self.features = torch.randn(B, D, generator=generator)[:n].requires_grad_()
        weight = torch.randn(K, D, generator=generator)
        smoother = torch.randn(D, D, generator=generator)
        drawn = torch.randn(2, B, N, D, generator=generator)[:, :n]
        mask = (torch.rand(2, B, N, generator=generator) < neighbours)[:, :n]

        def classify(rows: Tensor) -> Tensor:
            return nn.functional.linear(rows, weight)

        membership = one_hot(torch.tensor(labels, dtype=torch.long), K).float()
        if several:
            membership[0, :] = 1
        self.view = View(
            self.features,
            {"plain": classify(self.features), "graph": classify(self.features)},
            self.features @ smoother,
            membership,
            lambda kind: (drawn[int(kind == NEGATIVE)], mask[int(kind == NEGATIVE)]),
            labels_per_image=1.5 if several else None,
            classify=classify,
            prototypes=lambda: (drawn[0, :, 0], drawn[1, :, 0]),
            **changed,
        )

    def gradient(self, term: Term) -> Tensor:
        value = term.of(self.view)
        assert value.ndim == 0
        assert bool(value.isfinite())
        (found,) = torch.autograd.grad(value, self.features)
        assert bool(found.isfinite().all())
        return found


@pytest.mark.parametrize(("name", "form"), FORMS)
@pytest.mark.parametrize("several", [False, True])
def test_the_gradient_reaches_the_features_or_claims_no_effect(name: str, form: str, several: bool) -> None:
    moved = bool(Small(LABELS, several=several).gradient(made_term(name, form)).abs().max() > 1e-4)
    assert moved is ((name, form) not in WITHOUT_GRADIENT)


@pytest.mark.parametrize(("name", "form"), [some for some in FORMS if some[0] not in ("plain", "graph")])
def test_an_anchor_without_neighbours_adds_nothing(name: str, form: str) -> None:
    small = Small(LABELS, neighbours=0.0)
    term = made_term(name, form)
    if term.edge_types:
        assert not bool(small.gradient(term).any())
        assert float(term.of(small.view).detach()) == 0


@pytest.mark.parametrize(("name", "form"), FORMS)
@pytest.mark.parametrize("labels", [[], [1], [2, 2, 2, 2, 2, 2]], ids=["none", "one image", "one class"])
@pytest.mark.parametrize("several", [False, True])
def test_small_batches_and_those_of_one_class_give_finite_numbers(
    name: str, form: str, labels: list[int], several: bool
) -> None:
    small = Small(labels, several=several and bool(labels))
    gradient = small.gradient(made_term(name, form))
    if not labels or (not several and name in ("inter_class", "sup_con")):
        assert not bool(gradient.any())


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_weights_of_one_change_nothing_and_others_weigh_the_relation_terms_of_anchors(name: str, form: str) -> None:
    plain = Small(LABELS).gradient(made_term(name, form))
    ones = Small(LABELS, weights=torch.ones(B)).gradient(made_term(name, form))
    torch.testing.assert_close(ones, plain)
    none = Small(LABELS, weights=torch.zeros(B)).gradient(made_term(name, form))
    without_anchors = name in ("plain", "graph", "inter_class")
    assert bool(none.any()) is (without_anchors and (name, form) not in WITHOUT_GRADIENT)


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_a_term_alone_can_be_trained_on(name: str, form: str) -> None:
    small = Small(LABELS)
    Objective({name: 1.0}).total({name: made_term(name, form).of(small.view)}).backward()
    assert small.features.grad is not None
