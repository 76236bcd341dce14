"""Steps: groups of batches, clipping, averages of weights, precision, and that none waits for the device."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from csrms_dist.basics.collective import Collective
from csrms_dist.basics.devices import device_of
from csrms_dist.errors import ConfigError
from csrms_dist.methods.protocol import Batch
from csrms_dist.training.averaging import AveragedWeights, final_weights
from csrms_dist.training.gradients import Summed
from csrms_dist.training.loop import fit
from csrms_dist.training.optimisers import OPTIMISERS
from csrms_dist.training.optimisers.make import kept_numbers, make_optimiser
from csrms_dist.training.placement import Placement, placement_of
from csrms_dist.training.settings import OptimiserSettings, TrainSettings
from csrms_dist.training.train_step import Stepper
from tests.unit.standins import PassingOn
from tests.unit.training.waiting import NothingWaits

SETTINGS = OptimiserSettings(lr=0.1, batch_size=8, weight_decay=0.01)


def batches(digits_run: Any, *sizes: int) -> list[Batch]:
    found, start = [], 0
    for size in sizes:
        rows = np.arange(start, start + size)
        membership = torch.from_numpy(digits_run.data.membership[rows].toarray().astype(np.float32))
        found.append(Batch(rows, digits_run.data.inputs(rows, 0), membership, rows, None))
        start += size
    return found


def stepped(digits_run: Any, settings: OptimiserSettings, *sizes: int) -> tuple[nn.Module, Stepper]:
    """The model after an epoch of batches of these sizes."""
    method = digits_run.plain()
    optimiser = make_optimiser(method.module.parameters(), settings)
    step = Stepper(method.module, Summed(method, Collective()), optimiser, settings)
    for number, batch in enumerate(batches(digits_run, *sizes)):
        step(batch, number, list(sizes))
    return method.module, step


def test_a_group_of_batches_is_a_batch_of_their_size(digits_run: Any) -> None:
    """Uneven ones too, and a last group of one."""
    grouped, _ = stepped(digits_run, replace(SETTINGS, accumulate=3), 8, 8, 5, 7)
    whole, _ = stepped(digits_run, SETTINGS, 21, 7)
    other, _ = stepped(digits_run, SETTINGS, 8, 8, 5, 7)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(grouped.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(other.state_dict()["plain_head.weight"], whole.state_dict()["plain_head.weight"], 1e-4)


def test_a_clipped_step_has_the_norm_that_was_asked_for(digits_run: Any) -> None:
    plain_sgd = OptimiserSettings(lr=1.0, momentum=0.0, weight_decay=0.0)
    before = digits_run.plain().module.state_dict()

    def moved(clip: float) -> float:
        model, _ = stepped(digits_run, replace(plain_sgd, clip=clip), 16)
        return float(sum((value - before[name]).square().sum() for name, value in model.state_dict().items()) ** 0.5)

    free = moved(0.0)
    assert moved(free / 10) == pytest.approx(free / 10, rel=1e-3)
    assert moved(free * 10) == pytest.approx(free, rel=1e-5)


def test_averaged_weights_by_a_plain_loop() -> None:
    layer = nn.BatchNorm1d(3)
    average = AveragedWeights(layer, 0.6)
    expected = {name: value.clone() for name, value in layer.state_dict().items()}
    for step in range(1, 8):
        with torch.no_grad():
            layer.weight.add_(torch.randn(3))
        layer(torch.randn(5, 3))
        average.update()
        keep = min(0.6, (1 + step) / (10 + step))
        for name, value in layer.state_dict().items():
            whole_number = name == "num_batches_tracked"
            expected[name] = value.clone() if whole_number else keep * expected[name] + (1 - keep) * value
    for name, value in expected.items():
        torch.testing.assert_close(average.weights[name], value)
    again = AveragedWeights(nn.BatchNorm1d(3), 0.6)
    again.load_state_dict(average.state_dict())
    assert all(torch.equal(again.weights[name], value) for name, value in average.weights.items())
    assert final_weights({"model": layer.state_dict()}).keys() == expected.keys()
    averaged = final_weights({"model": {}, "averaged": average.state_dict()})
    assert all(torch.equal(averaged[name], average.weights[name]) for name in expected)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_an_optimiser_takes_the_step_of_its_formula(name: str) -> None:
    """Two steps of one weight, by plain numbers."""
    settings = OptimiserSettings(optimiser=name, lr=0.1, momentum=0.9, weight_decay=0.02)
    weight = nn.Parameter(torch.tensor([1.0]))
    optimiser = make_optimiser([weight], settings)
    w, first, second = 1.0, 0.0, 0.0
    for step, gradient in enumerate((0.5, -0.25), 1):
        weight.grad = torch.tensor([gradient])
        optimiser.step()
        if name == "adamw":
            w -= 0.1 * 0.02 * w
        g = gradient if name == "adamw" else gradient + 0.02 * w
        if name == "sgd":
            first = 0.9 * first + g if step > 1 else g
            w -= 0.1 * (g + 0.9 * first)
        else:
            first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
            w -= 0.1 * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)) ** 0.5 + 1e-8)
        assert float(weight.detach()) == pytest.approx(w, rel=1e-5)


def test_numbers_that_a_training_keeps_beside_each_weight() -> None:
    assert kept_numbers(OptimiserSettings()) == 1
    assert kept_numbers(OptimiserSettings(momentum=0.0)) == 0
    assert kept_numbers(OptimiserSettings(optimiser="adam", ema=0.9)) == 3
    assert kept_numbers(OptimiserSettings(optimiser="adamw")) == 2


@pytest.mark.parametrize("reading", ["plain", "structural", "paper", "reference"])
def test_a_step_never_waits_for_the_device(digits_run: Any, reading: str) -> None:
    """Encoder, losses, gradients, clipping, optimiser, averages. (Adam on a CPU reads its count of steps there.)"""
    method, sampler = (digits_run.plain(), None) if reading == "plain" else digits_run.csrms(reading)
    settings = OptimiserSettings(lr=0.01, clip=1.0, ema=0.9, accumulate=2)
    optimiser = make_optimiser(method.module.parameters(), settings)
    step = Stepper(method.module, Summed(method, Collective()), optimiser, settings)
    some = batches(digits_run, 32, 32, 32, 32)
    if sampler is not None:
        some = [replace(batch, subgraph=sampler.sample(batch.rows, 0)) for batch in some]
    for number, batch in enumerate(some):
        with NothingWaits():
            step(batch, number, [32] * 4)


def test_products_in_bfloat16_train_nearly_as_well(digits_run: Any) -> None:
    reports, kinds = [], set()
    for precision in (torch.float32, torch.bfloat16):
        method = digits_run.plain()
        placement = Placement(precision=precision)
        placement.model(method.module)
        method.module.encoder.register_forward_hook(lambda module, given, found: kinds.add(found.dtype))
        features = method.module.encode(digits_run.data.inputs(np.arange(4), 0))
        assert features.dtype == torch.float32
        settings = OptimiserSettings(batch_size=50, lr=0.02)
        reports.append(fit(method, digits_run.data, settings, n_images=800, seed=0, placement=placement)[-1])
    assert kinds == {torch.float32, torch.bfloat16}
    assert reports[0]["loss"] != reports[1]["loss"]
    assert reports[1]["loss"] == pytest.approx(reports[0]["loss"], rel=0.05)


def test_the_placement_that_settings_ask_for() -> None:
    found = placement_of(TrainSettings(device="cpu", precision="bfloat16", compile=True), None)
    assert found == Placement(torch.device("cpu"), torch.bfloat16, compiled=True, deterministic=True)
    on_gpu = placement_of(TrainSettings(batch_norm="synchronised"), torch.device("cuda", 0))
    assert (on_gpu.together, on_gpu.overlapped, on_gpu.deterministic) == (True, True, False)


def test_a_batch_that_the_gpu_has_no_room_for_is_refused_with_one_to_try(digits_run: Any) -> None:
    class Full(PassingOn):
        def batch(self, batch: Batch, collective: Collective) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    settings = TrainSettings(batch_size=48, accumulate=2)
    with pytest.raises(ConfigError, match=r"^train.batch_size: got 48, .*try 24, with train.accumulate 4") as raised:
        fit(Full(digits_run.plain()), digits_run.data, settings, n_images=96, seed=0)
    assert "GiB" not in str(raised.value)


@pytest.mark.parametrize("setting", ["train.device", "cluster.device"])
def test_a_gpu_that_is_asked_for_and_absent_is_one_sentence(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=rf"^{setting}: got 'cuda' on a machine without a GPU that torch can use"):
        device_of("cuda", setting)
    assert device_of("auto", setting) == torch.device("cpu")


@pytest.mark.slow
def test_a_compiled_encoder_answers_as_it_did(digits_run: Any) -> None:
    method, images = digits_run.plain(), digits_run.data.inputs(np.arange(8), 0)
    before, names = method.module.encode(images), set(method.module.state_dict())
    Placement(compiled=True).model(method.module)
    torch.testing.assert_close(method.module.encode(images), before, rtol=1e-4, atol=1e-5)
    assert set(method.module.state_dict()) == names
