"""A checkpoint within an epoch: the same bytes afterwards as without it; and all workers agree on its batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.basics.collective import Collective
from csrms_dist.methods.protocol import Method
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.training.loop import fit
from csrms_dist.training.settings import OptimiserSettings
from csrms_dist.training.within import LOOK_S, Looks, own_sums, shared_sums

SETTINGS = OptimiserSettings(batch_size=40, lr=0.02, augmentation="crop_flip", label_smoothing=0.1)


def ticking(step_s: float) -> Callable[[], float]:
    """A clock that goes on by so much whenever it is asked."""
    now = [0.0]

    def clock() -> float:
        now[0] += step_s
        return now[0]

    return clock


class Dropping(torch.nn.Module):
    """An encoder that draws from torch's stream."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder, self.dimension = encoder, encoder.dimension

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(self.encoder(inputs), 0.3, self.training)


def leaves(state: Any) -> list[Any]:
    return [leaf for value in state.values() for leaf in leaves(value)] if isinstance(state, dict) else [state]


@pytest.mark.parametrize("kind", ["plain", "dropout", "structural", "structural in files"])
def test_a_training_that_goes_on_within_an_epoch_ends_with_the_same_bytes(
    digits_run: Any, kind: str, tmp_path: Path
) -> None:
    n_images = 2 * len(digits_run.data) + 130

    def made(folder: str) -> tuple[Method, Any]:
        if kind == "plain":
            return digits_run.plain(), None
        if kind == "dropout":
            method = digits_run.plain()
            method.module.encoder = Dropping(method.module.encoder)
            return method, None
        method, sampler = digits_run.csrms("structural", weight_attract=0.1)
        if kind.endswith("files"):
            (tmp_path / folder).mkdir(exist_ok=True)
            method.relations.bank = FeatureBank(method.relations.bank.current, tmp_path / folder)
            method.relations.refresh()
        return method, sampler

    def train(folder: str, at: int | None = None, resume: Any = None) -> tuple[Method, list[dict[str, float]]]:
        method, sampler = made(folder)
        written = [0]

        def on_part(state: dict[str, Any]) -> None:
            written[0] += 1
            if written[0] == at:
                torch.save(state, tmp_path / "state.pt")
            if at is not None and written[0] == at + 2:  # what comes after the checkpoint is lost
                raise KeyboardInterrupt

        looks = Looks(1.0, clock=ticking(LOOK_S)) if at else None
        history = fit(
            method, digits_run.data, SETTINGS, n_images=n_images, seed=3, sampler=sampler, looks=looks,
            on_part=on_part, resume=resume,
        )  # fmt: skip
        return method, history

    whole, history = train("whole")
    batches = -(-len(digits_run.data) // SETTINGS.batch_size)
    for at in (1, batches + 2):
        with pytest.raises(KeyboardInterrupt):
            train(f"stopped {at}", at)
        state = torch.load(tmp_path / "state.pt", weights_only=True)
        assert 0 < state["part"]["batches"] < batches
        assert len(state["history"]) == (at > batches)
        resumed, again = train(f"stopped {at}", resume=state)
        assert again == history
        for name, value in whole.module.state_dict().items():
            assert torch.equal(resumed.module.state_dict()[name], value), name
        for left, right in zip(leaves(resumed.state_dict()), leaves(whole.state_dict()), strict=True):
            assert torch.equal(torch.as_tensor(left), torch.as_tensor(right))


def test_looking_changes_nothing(digits_run: Any) -> None:
    n, some = len(digits_run.data), replace(SETTINGS, augmentation="none")
    written: list[int] = []
    looks = Looks(0.0, lambda: True, ticking(LOOK_S))
    seen = fit(
        digits_run.plain(), digits_run.data, some, n_images=n, seed=1, looks=looks,
        on_part=lambda state: written.append(state["part"]["batches"]),
    )  # fmt: skip
    assert written[0] == 1
    assert seen == fit(digits_run.plain(), digits_run.data, some, n_images=n, seed=1)


@given(st.floats(0.001, 100.0), st.floats(0.0, 1000.0))
def test_a_checkpoint_is_due_when_its_time_has_come(step_s: float, seconds: float) -> None:
    """Not before, and a look later at the most; without a time and without a wish never."""
    now = [0.0]
    looks = Looks(seconds, clock=lambda: now[0])
    last = 0.0
    for _ in range(200):
        now[0] += step_s
        if looks.due(Collective()):
            assert seconds > 0
            assert now[0] - last >= seconds
            assert now[0] - last <= seconds + LOOK_S + 2 * step_s + 1e-6
            looks.saved()
            last = now[0]
    assert seconds == 0 or now[0] - last <= seconds + LOOK_S + 2 * step_s + 1e-6


def test_a_wish_is_seen_at_the_next_look() -> None:
    wished: list[bool] = []
    looks = Looks(0.0, lambda: bool(wished), ticking(LOOK_S))
    assert not any(looks.due(Collective()) for _ in range(5))
    wished.append(True)
    assert looks.due(Collective())


def test_sums_that_were_saved_count_once_whatever_the_workers() -> None:
    totals, observed = {"loss": 2.5, "plain": 0.1}, {"rank": torch.tensor([3.0, 2.0], dtype=torch.float64)}
    saved = shared_sums(totals, observed, 7, Collective())
    parts = [own_sums(saved, rank) for rank in range(3)]
    assert {name: sum(part[0][name] for part in parts) for name in totals} == totals
    assert torch.equal(sum(part[1]["rank"] for part in parts), observed["rank"])
    assert sum(part[2] for part in parts) == 7
