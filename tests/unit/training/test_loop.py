"""The loop: every image once an epoch, resumable to the byte, and no weights from a training that diverged."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.errors import DataError
from csrms_dist.labels import single_labels
from csrms_dist.methods.protocol import Batch, Method
from csrms_dist.training.batches import TrainingData
from csrms_dist.training.loop import fit, global_batches
from csrms_dist.training.settings import OptimiserSettings
from tests.unit.standins import PassingOn

SETTINGS = OptimiserSettings(batch_size=50, lr=0.02, augmentation="crop_flip", label_smoothing=0.1)


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 200), st.integers(0, 5))
def test_batches_are_a_permutation_and_end_where_the_images_end(n: int, size: int, n_images: int, seed: int) -> None:
    seen = 0
    for epoch in range(-(-n_images // n) + 1):
        batches = global_batches(n, size, n_images, seed, epoch)
        assert all(len(batch) == size for batch in batches[:-1])
        assert all(len(batch) <= size + (size > 1) for batch in batches)
        assert all(len(batch) > 1 for batch in batches[1:] if size > 1)
        rows = [int(row) for batch in batches for row in batch]
        assert len(set(rows)) == len(rows) == min(n, max(n_images - seen, 0))
        assert set(rows) <= set(range(n))
        seen += len(rows)
    assert seen == n_images


def test_the_order_is_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(global_batches(100, 7, 10**6, seed, epoch)).tolist()

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
    # The order is that of the epoch, whatever the batch size and wherever the training ends.
    assert np.concatenate(global_batches(100, 64, 230, 0, 2)).tolist() == order(0, 2)[:30]


class Watched(PassingOn):
    """A method that also writes down what it is given."""

    def __init__(self, method: Method) -> None:
        super().__init__(method)
        self.batches: list[Batch] = []
        self.epochs = 0

    def batch(self, batch: Batch, collective: Any) -> Any:
        self.batches.append(batch)
        return super().batch(batch, collective)

    def end_epoch(self, collective: Any) -> None:
        self.epochs += 1
        super().end_epoch(collective)


def test_images_that_end_within_an_epoch_count_exactly(digits_run: Any) -> None:
    n = len(digits_run.data)
    method = Watched(digits_run.plain())
    n_images = 2 * n + 123
    history = fit(method, digits_run.data, SETTINGS, n_images=n_images, seed=1)
    assert [report["images"] for report in history] == [n, n, 123]
    assert [report["epoch"] for report in history] == [1, 2, 3]
    assert method.epochs == 3
    assert sum(len(batch.rows) for batch in method.batches) == n_images
    assert [len(batch.rows) for batch in method.batches[-3:]] == [50, 50, 23]
    for batch in method.batches:
        assert np.array_equal(batch.membership, digits_run.data.membership[batch.rows].toarray())
        assert np.array_equal(batch.rows, batch.global_rows)
        assert batch.subgraph is None


def test_a_report_is_the_mean_over_images(digits_run: Any) -> None:
    """With a learning rate of next to nothing the epoch's figures are those of the model as it is."""
    method = digits_run.plain()
    data = digits_run.data
    images = data.inputs(np.arange(len(data)), 0)
    with torch.inference_mode():
        logits = method.module(images)
    labels = torch.from_numpy(single_labels(data.membership))
    settings = OptimiserSettings(batch_size=64, lr=1e-12)
    report = fit(method, data, settings, n_images=len(labels), seed=0)[0]
    assert report["loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-5)
    assert report["plain"] == pytest.approx(report["loss"])
    assert report["plain_accuracy"] == pytest.approx(float((logits.argmax(dim=1) == labels).float().mean()))


def make(digits_run: Any, kind: str) -> tuple[Method, Any]:
    if kind in ("plain", "adam"):
        return digits_run.plain(), None
    method, sampler = digits_run.csrms(kind, weight_attract=0.1)
    return method, sampler


def leaves(state: Any) -> list[Any]:
    return [leaf for value in state.values() for leaf in leaves(value)] if isinstance(state, dict) else [state]


@pytest.mark.parametrize("kind", ["plain", "adam", "structural", "paper"])
def test_an_interrupted_training_ends_with_the_same_bytes(digits_run: Any, kind: str, tmp_path: Path) -> None:
    n_images = 3 * len(digits_run.data) + 77
    adam = {"optimiser": "adam", "lr": 0.001, "schedule": "step", "decay_every": 1.5, "augmentation": "resized_crop"}
    settings = replace(SETTINGS, **adam) if kind == "adam" else SETTINGS

    def train(stop: int | None = None, resume: dict[str, Any] | None = None) -> tuple[Method, list[dict[str, float]]]:
        method, sampler = make(digits_run, kind)

        def on_epoch(done: int, state: dict[str, Any]) -> None:
            if done == stop:
                torch.save(state, tmp_path / "state.pt")
                raise KeyboardInterrupt

        history = fit(
            method,
            digits_run.data,
            settings,
            n_images=n_images,
            seed=2,
            sampler=sampler,
            on_epoch=on_epoch,
            resume=resume,
        )
        return method, history

    whole, history = train()
    for stop in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            train(stop)
        resumed, again = train(resume=torch.load(tmp_path / "state.pt", weights_only=True))
        assert again == history
        assert len(again) == 4
        for name, value in whole.module.state_dict().items():
            assert torch.equal(resumed.module.state_dict()[name], value), name
        for left, right in zip(leaves(resumed.state_dict()), leaves(whole.state_dict()), strict=True):
            assert torch.equal(torch.as_tensor(left), torch.as_tensor(right))


def test_a_finished_training_that_is_resumed_does_nothing(digits_run: Any, tmp_path: Path) -> None:
    n = len(digits_run.data)
    method = digits_run.plain()
    fit(method, digits_run.data, SETTINGS, n_images=n, seed=0, on_epoch=lambda _, s: torch.save(s, tmp_path / "s.pt"))
    watched = Watched(digits_run.plain())
    state = torch.load(tmp_path / "s.pt", weights_only=True)
    assert len(fit(watched, digits_run.data, SETTINGS, n_images=n, seed=0, resume=state)) == 1
    assert watched.batches == []
    for name, value in method.module.state_dict().items():
        assert torch.equal(watched.module.state_dict()[name], value)


@pytest.mark.parametrize("kind", ["plain", "structural"])
def test_a_training_that_diverges_says_so_and_saves_nothing(digits_run: Any, kind: str) -> None:
    method, sampler = make(digits_run, kind)
    saved: list[int] = []
    with pytest.raises(DataError, match="lower the learning rate"):
        fit(
            method,
            digits_run.data,
            OptimiserSettings(batch_size=32, lr=10.0, momentum=0.99, warmup_epochs=0),
            n_images=10**6,
            seed=0,
            sampler=sampler,
            on_epoch=lambda done, state: saved.append(
                sum(not math.isfinite(float(value.sum())) for value in state["model"].values())
            ),
        )
    assert sum(saved) == 0


class LastStep(Watched):
    """Its last loss is finite, its last gradient is not."""

    def batch(self, batch: Batch, collective: Any) -> Any:
        outcome = super().batch(batch, collective)
        if len(batch.global_rows) < SETTINGS.batch_size:
            outcome.terms["plain"].register_hook(lambda gradient: gradient * math.inf)
        return outcome


def test_weights_that_the_last_step_lost_are_not_saved(digits_run: Any) -> None:
    data = digits_run.data
    assert len(data) % SETTINGS.batch_size
    with pytest.raises(DataError, match="weights after epoch 1"):
        fit(
            LastStep(digits_run.plain()),
            data,
            SETTINGS,
            n_images=len(data),
            seed=0,
            on_epoch=lambda *_: pytest.fail("saved"),
        )


def test_the_same_seed_gives_the_same_weights_and_another_does_not(digits_run: Any) -> None:
    weights = []
    for seed in (0, 0, 1):
        method = digits_run.plain()
        fit(method, digits_run.data, SETTINGS, n_images=200, seed=seed)
        weights.append(torch.cat([value.flatten() for value in method.module.state_dict().values()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_no_images_no_epochs(digits_run: Any) -> None:
    assert fit(digits_run.plain(), digits_run.data, SETTINGS, n_images=0, seed=0) == []
    data = TrainingData(digits_run.data.inputs, digits_run.data.membership[:3])
    assert len(fit(digits_run.plain(), data, SETTINGS, n_images=7, seed=0)) == 3
