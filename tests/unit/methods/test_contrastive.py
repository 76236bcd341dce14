"""The contrastive objective: NT-Xent by a loop, two passes an image, no label read."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss

from csrms_dist.artefacts.names import TRAIN_IMAGES
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.collective import Collective
from csrms_dist.datasets.image_source import TRAIN, UNLABELLED, ImageSource
from csrms_dist.datasets.image_table import write_image_table
from csrms_dist.datasets.layouts.digits import digits
from csrms_dist.encoders import Normaliser
from csrms_dist.errors import ConfigError
from csrms_dist.labels import LabelSpace
from csrms_dist.losses.nt_xent import NTXent
from csrms_dist.methods.contrastive import ContrastiveMethod, Projected
from csrms_dist.methods.saved_model import make_model
from csrms_dist.run_contents import RunContents
from csrms_dist.training.alone import train_alone
from csrms_dist.training.batches import TrainingData, batches
from csrms_dist.training.from_run import initial_model, model_card, stage_0_state, training_data
from csrms_dist.training.inputs import ImageInputs
from csrms_dist.training.loop import fit
from csrms_dist.training.placement import CPU
from csrms_dist.training.recipe import PRETRAIN, Recipe
from csrms_dist.training.settings import PretrainSettings

SETTINGS = PretrainSettings(epochs=1, objective="contrastive", augmentation="contrastive", lr=0.1, batch_size=64)
RECIPE = Recipe(pretrain=SETTINGS)


def by_loop(first: np.ndarray, second: np.ndarray, temperature: float) -> float:
    """Equation 1 of Chen et al. (2020), averaged over all 2 B views."""
    views = np.concatenate([first, second])
    views = views / np.linalg.norm(views, axis=1, keepdims=True)
    n, total = len(views), 0.0
    for i in range(n):
        other = (i + n // 2) % n
        exponentials = [math.exp(views[i] @ views[k] / temperature) for k in range(n) if k != i]
        total -= math.log(math.exp(views[i] @ views[other] / temperature) / sum(exponentials))
    return total / n


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_loss_is_the_equation_and_that_librarys_own(temperature: float) -> None:
    draw = torch.Generator().manual_seed(0)
    first, second = torch.randn(9, 6, generator=draw), torch.randn(9, 6, generator=draw)
    value = NTXent(temperature)(first, second)
    assert float(value) == pytest.approx(by_loop(first.numpy(), second.numpy(), temperature), abs=1e-5)
    peer = SelfSupervisedLoss(NTXentLoss(temperature))(first, second)
    assert float(value) == pytest.approx(float(peer), abs=1e-5)


def test_one_image_alone_has_nothing_to_be_told_from() -> None:
    one = torch.ones(1, 4, requires_grad=True)
    value = NTXent()(one, 2 * one)
    value.backward()
    assert float(value.detach()) == 0
    assert one.grad is not None
    assert float(one.grad.abs().sum()) == 0


def test_a_batch_has_two_views_of_its_images_and_costs_two_passes_each(digits_run: Any) -> None:
    given = digits_run.data.inputs
    inputs = ImageInputs(given.table, given.indices, Normaliser((0.5,) * 3, (0.5,) * 3), "contrastive", seed=2)
    data = TrainingData(inputs, digits_run.data.membership)
    module = Projected(make_model(digits_run.card, 0).encoder, 0)
    method = ContrastiveMethod(module, 0.5)
    rows = [np.arange(5, 25), np.arange(30, 40)]
    for batch, expected in zip(batches(method, data, rows, 3, Collective(), None, CPU), rows, strict=True):
        assert np.array_equal(batch.rows, expected)
        assert batch.more_rows is batch.rows
        assert batch.more_inputs is not None
        views = [inputs(expected, 3, view) for view in (0, 1)]
        assert all(map(torch.equal, (batch.inputs, batch.more_inputs), views))
        outcome = method.batch(batch, Collective())
        features = [module.projection(module.encoder(view)).detach().numpy() for view in views]
        assert float(outcome.terms["contrastive"].detach()) == pytest.approx(by_loop(*features, 0.5), abs=1e-5)
    history = fit(method, data, SETTINGS, n_images=len(data) + 100, seed=0)
    assert [report["encoded"] for report in history] == [2 * len(data), 200]
    assert all(report["effective_rank"] > 1 for report in history)


def run_of(folder: Path, train: ImageSource) -> RunContents:
    """A run that has done the stage `images` and nothing else."""
    directory = RunDirectory(folder)
    with directory.writing("images", "0" * 32, {"mean": [0.3] * 3, "std": [0.4] * 3}) as place:
        write_image_table(place / TRAIN_IMAGES, train)
    return RunContents(directory)


def test_weights_are_the_same_bits_whatever_the_labels_are(tmp_path: Path) -> None:
    train, _ = digits(0.0)
    images = np.stack(list(train.images))
    few = np.arange(0, len(train), 9)
    truth, all_taught = train.membership[few].argmax(axis=1).tolist(), np.full(len(few), TRAIN, np.uint8)
    half = np.where(np.arange(len(few)) % 2, UNLABELLED, all_taught).astype(np.uint8)
    names, none = train.label_space, LabelSpace(())
    cases: dict[str, tuple[LabelSpace, list[Any], Any]] = {
        "true": (names, truth, all_taught),
        "permuted": (names, truth[::-1], all_taught),
        "half": (names, [None if row % 2 else label for row, label in enumerate(truth)], half),
        "none": (none, [None] * len(few), all_taught),
    }
    states = {}
    for name, (space, labels, split) in cases.items():
        run = run_of(tmp_path / name, dataclasses.replace(
            train, label_space=space, ids=[str(row) for row in few], membership=space.membership(labels), split=split,
            images=images[few],
        ))  # fmt: skip
        assert training_data(run, RECIPE, PRETRAIN).membership.shape == (len(few), 0)
        trained = train_alone(PRETRAIN, run.directory, RECIPE)["model"]
        assert {key.partition(".")[0] for key in trained} == {"encoder", "projection"}
        kept, initial = stage_0_state(run, RECIPE, trained), initial_model(run, RECIPE).state_dict()
        card = model_card(run, RECIPE)
        assert card.method == "plain"
        make_model(card, 0).load_state_dict(kept)
        assert torch.equal(kept["plain_head.weight"], initial["plain_head.weight"])
        states[name] = {key: value for key, value in kept.items() if key.startswith("encoder.")}
        assert not any(torch.equal(value, initial[key]) for key, value in states[name].items())
    for state in states.values():
        assert all(torch.equal(value, states["true"][key]) for key, value in state.items())


def test_what_cannot_be_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"pretrain\.augmentation: got 'none', with which both views of an image are "
                                          r"equal, .*; set pretrain\.augmentation to contrastive"):  # fmt: skip
        PretrainSettings(objective="contrastive")
    PretrainSettings(objective="contrastive", random_erasing=0.5)
    with pytest.raises(ConfigError, match=r"pretrain\.batch_size: got 1, expected at least 2"):
        PretrainSettings(objective="contrastive", augmentation="crop_flip", batch_size=1)
    with pytest.raises(ConfigError, match=r"which reads no label; leave both out"):
        PretrainSettings(objective="contrastive", augmentation="crop_flip", label_smoothing=0.1)
