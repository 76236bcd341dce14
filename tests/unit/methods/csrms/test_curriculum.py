"""The curriculum: weights of easy, medium and hard anchors, from the history alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.basics.lookup import resolve
from csrms_dist.errors import ConfigError
from csrms_dist.losses.classification import PlainHeadLoss, classification_loss
from csrms_dist.losses.negative_sampling import NegativeSampling
from csrms_dist.losses.term import View
from csrms_dist.methods.csrms.curriculum import CURRICULA
from csrms_dist.methods.csrms.curriculum.weights import FLOOR, AnchorWeights, shares


def history(losses: list[float]) -> list[dict[str, float]]:
    return [{"epoch": k + 1.0, "loss": loss} for k, loss in enumerate(losses)]


def run(name: str, losses: list[float], epochs: int) -> tuple[float, float, float]:
    found: tuple[float, float, float] = resolve(CURRICULA[name])(history(losses), epochs)
    return found


@given(st.floats(0, 1), st.floats(0, 1))
def test_eq_8_holds_for_lambdas_of_one(alpha_i: float, alpha_f: float) -> None:
    assert sum(shares(alpha_i, alpha_f)) == pytest.approx(1)


@pytest.mark.parametrize("name", CURRICULA)
@given(losses=st.lists(st.floats(0, 100), max_size=40), more=st.integers(0, 40))
def test_weights_are_shares(name: str, losses: list[float], more: int) -> None:
    found = run(name, losses, max(len(losses) + more, 1))
    assert all(0 <= share <= 1 for share in found)


def test_cosine_goes_from_easy_to_hard_over_the_middle_half() -> None:
    epochs = 40
    by_epoch = [run("cosine", [1.0] * done, epochs) for done in range(epochs)]
    assert by_epoch[:11] == [shares(0.95, 0.95)] * 11
    assert by_epoch[20] == pytest.approx(shares(0.33, 0.95))
    assert by_epoch[30:] == [pytest.approx(shares(0.33, 0.5))] * 10
    middle = 0.33 + (0.95 - 0.33) * 0.5 * (1 + math.cos(math.pi / 2))
    assert by_epoch[15] == pytest.approx(shares(middle, 0.95))
    hard = [share[2] for share in by_epoch]
    assert hard == sorted(hard)


def test_plateau_waits_for_the_loss() -> None:
    falling = [2.0 * 0.9**k for k in range(19)]
    assert run("plateau", falling, 20) == shares(0.95, 0.95)
    flat = [2.0, 1.0, 1.0, *[1.0] * 3]  # converged in the third epoch; a quarter of 20 epochs later alpha_i is down
    assert run("plateau", flat[:3], 20)[0] < 0.95
    assert run("plateau", [2.0, *[1.0] * 6], 20) == pytest.approx(shares(0.33, 0.95))
    assert run("plateau", [2.0, *[1.0] * 12], 20) == pytest.approx(shares(0.33, 0.5))


def test_as_printed_a_flat_loss_above_a_hundredth_changes_nothing() -> None:
    assert run("printed", [1.0] * 19, 20) == shares(0.95, 0.95)
    assert run("printed", [0.005] * 19, 20) == pytest.approx(shares(0.33, 0.5))


def test_the_released_weights_are_those_of_the_code_in_parentheses() -> None:
    assert run("released", [1.0] * 75, 300) == (0.75, 0.75, 0.25)


@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=30),
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
    st.integers(1, 3),
)
def test_the_weights_of_a_global_batch_have_mean_one_whoever_holds_its_rows(
    levels: list[int], given_shares: tuple[float, float, float], world: int
) -> None:
    anchors = AnchorWeights(np.array(levels, np.int8), lambda history, epochs: given_shares)
    anchors.begin_epoch([], 1)
    rows = np.arange(len(levels))
    parts = [anchors.of(rows[rank::world], rows) for rank in range(world)]
    assert float(torch.cat(parts).double().mean()) == pytest.approx(1, abs=1e-5)
    raw = [max(given_shares[level], FLOOR) for level in levels]
    expected = [weight / (sum(raw) / len(raw)) for weight in raw]
    assert parts[0].tolist() == pytest.approx(expected[::world], rel=1e-5)


def test_an_epoch_reports_what_each_level_weighed() -> None:
    anchors = AnchorWeights(np.array([0, 0, 1], np.int8), lambda history, epochs: (0.6, 0.3, 0.1))
    anchors.begin_epoch([], 1)
    rows = np.arange(3)
    seen = anchors.observed(rows, anchors.of(rows, rows))
    assert [float(total) / float(number) for total, number in list(seen.values())[:2]] == pytest.approx([1.2, 0.6])
    assert [float(value) for value in seen["weight_hard"]] == [0, 0]


@pytest.mark.parametrize("wrong", [(1.0, 0.0), (1.0, 0.0, 2.0), (0.0, 0.5, math.nan)])
def test_a_curriculum_of_ones_own_gives_three_shares(wrong: Any) -> None:
    anchors = AnchorWeights(np.zeros(2, np.int8), lambda history, epochs: wrong)
    with pytest.raises(ConfigError, match=r"method\.curriculum: got .*expected a number in \[0, 1\] for each"):
        anchors.begin_epoch([], 1)


def view(weights: torch.Tensor | None, *, everything: bool = False, several: bool = False) -> View:
    draw = torch.Generator().manual_seed(0)
    features, near = torch.randn(4, 6, generator=draw), torch.randn(4, 3, 6, generator=draw)
    membership = torch.eye(4)[:, :3] + (torch.eye(4)[:, 1:] if several else 0)
    logits = {"plain": torch.randn(4, 3, generator=draw)}
    mask = torch.tensor([[True, True, False]] * 4)
    return View(features, logits, features, membership, lambda _: (near, mask), weights=weights, everything=everything)


def test_relation_terms_weigh_each_anchor() -> None:
    weights = torch.tensor([2.0, 1.0, 0.5, 0.5])
    whole = view(weights)
    term = NegativeSampling()
    total = float(term.of(whole))
    scale = float(term.scale.value)
    by_hand = 0.0
    for b in range(4):
        distances = [float((whole.unit[b] - other).norm()) for other in whole.neighbours("negative")[0][b, :2]]
        by_hand += float(weights[b]) * sum(1 / (1 + d / scale) for d in distances) / 2
    assert total == pytest.approx(by_hand / 4, rel=1e-5)


@pytest.mark.parametrize("several", [False, True])
def test_classification_weighs_anchors_where_everything_does(several: bool) -> None:
    weights = torch.tensor([2.0, 1.0, 0.5, 0.5])
    term = PlainHeadLoss(label_smoothing=0.1, labels_per_image=2.0 if several else None)
    plain = float(term.of(view(None, several=several)))
    assert float(term.of(view(weights, several=several))) == plain
    seen = view(weights, everything=True, several=several)
    by_hand = sum(
        float(w) * float(classification_loss(
            seen.logits["plain"][[b]], seen.membership[[b]], 0.1, labels_per_image=2.0 if several else None
        ))
        for b, w in enumerate(weights)
    )  # fmt: skip
    assert float(term.of(seen)) == pytest.approx(by_hand / 4, rel=1e-5)
    assert float(term.of(seen)) != pytest.approx(plain, rel=1e-3)
