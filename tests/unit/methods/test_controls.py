"""The controls against their formulas written as loops, and what each of them refuses."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from csrms_dist.art.settings import ClusterSettings
from csrms_dist.basics.collective import Collective
from csrms_dist.encoders.given import GivenFeatures
from csrms_dist.encoders.lenet5 import LeNet5
from csrms_dist.errors import ConfigError
from csrms_dist.hierarchy.settings import GraphSettings
from csrms_dist.losses.classification import classification_loss
from csrms_dist.losses.term import Reducer
from csrms_dist.methods.controls import batch_former, cutmix, manifold_mixup, mixup, self_distillation, sup_con, triplet
from csrms_dist.methods.controls.control import Control
from csrms_dist.methods.controls.cutmix import CutMix
from csrms_dist.methods.controls.manifold_mixup import ManifoldMixup, stages_of
from csrms_dist.methods.controls.mixing import InputMixing, Mixing
from csrms_dist.methods.controls.mixup import MixupSettings
from csrms_dist.methods.csrms.settings import CSRMSSettings
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.protocol import Batch, Task
from csrms_dist.methods.settings import MethodSettings
from csrms_dist.models.adapter import AdaptedEncoder
from csrms_dist.sampling.reference_sampler import ReferenceSampler
from csrms_dist.sampling.settings import SamplingSettings
from ray_jobs.pipeline import prepare
from ray_jobs.settings import settings_from
from ray_jobs.stages import needs

N, D, K, SMOOTHING = 12, 8, 3, 0.1
ROWS = np.array([7, 2, 5, 0, 9, 4, 11])
LABELS = {"single": np.eye(K)[np.arange(N) % K], "several": np.tile([[1, 1, 0], [0, 0, 0], [0, 1, 1]], (4, 1))}
BUILDS = (mixup, manifold_mixup, sup_con, triplet, self_distillation, batch_former)


def task_of(labels: str, settings: MethodSettings | None = None, **changed: Any) -> Task:
    given_task = Task(
        role="control", settings=settings or CSRMSSettings(), sampling=SamplingSettings(), seed=3, n_rows=N,
        label_smoothing=SMOOTHING, labels_per_image=None if labels == "single" else 4 / 3, cluster=ClusterSettings(),
        graph=GraphSettings(), frozen=False, rank=0, work=None, device=torch.device("cpu"),
        sampler_type=ReferenceSampler,
    )  # fmt: skip
    return dataclasses.replace(given_task, **changed)


def made(room: Any, labels: str, task: Task | None = None, encoder: Any = None) -> Any:
    """The control of a module, on features as they are."""
    torch.manual_seed(0)
    kind = batch_former.BatchFormerModel if room is batch_former else PlainModel
    model = kind(encoder or GivenFeatures(D), K)
    return room.build(model, None, task or task_of(labels)).method


def table() -> Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(1))


def batch_of(labels: str, rows: np.ndarray = ROWS, inputs: Tensor | None = None, **more: Any) -> Batch:
    membership = torch.from_numpy(LABELS[labels][rows]).float()
    return Batch(rows, (table() if inputs is None else inputs)[rows], membership, rows, None, **more)


def loop_loss(logits: list[list[float]], targets: list[list[float]], labels: str, smoothing: float) -> float:
    """The mean over rows, targets between 0 and 1."""
    found = []
    for row, target in zip(logits, targets, strict=True):
        whole = math.fsum(map(math.exp, row))
        for x, t in zip(row, target, strict=True):
            if labels == "single":
                found.append(-(t * (1 - smoothing) + smoothing / K) * math.log(math.exp(x) / whole))
            else:
                soft, p = t * (1 - smoothing) + smoothing / 2, 1 / (1 + math.exp(-x))
                found.append(-(soft * math.log(p) + (1 - soft) * math.log(1 - p)) / (4 / 3))
    return math.fsum(found) / len(logits)


def head(method: Any, features: list[list[float]]) -> list[list[float]]:
    """The plain head as loops."""
    weight, bias = method.module.plain_head.weight.tolist(), method.module.plain_head.bias.tolist()
    return [
        [math.fsum(w * x for w, x in zip(row, feature, strict=True)) + b for row, b in zip(weight, bias, strict=True)]
        for feature in features
    ]


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("weights", [False, True])
def test_soft_targets_of_0_and_1_are_labels(labels: str, weights: bool) -> None:
    logits = torch.randn(N, K, generator=torch.Generator().manual_seed(2))
    membership = torch.from_numpy(LABELS[labels]).float()
    given_weights = torch.linspace(0.5, 1.5, N) if weights else None
    hard, soft = (
        classification_loss(
            logits, membership, SMOOTHING, labels_per_image=None if labels == "single" else 4 / 3,
            weights=given_weights, soft=soft,
        )
        for soft in (False, True)
    )  # fmt: skip
    torch.testing.assert_close(soft, hard, rtol=1e-6, atol=0)
    if not weights:
        assert float(hard) == pytest.approx(loop_loss(logits.tolist(), membership.tolist(), labels, SMOOTHING))


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("room", [mixup, manifold_mixup])
def test_mixup_is_its_formula(room: Any, labels: str) -> None:
    method = made(room, labels)
    method.begin_epoch([{}], 3, Collective())
    lam = method.own_share(ROWS)
    assert 0 < lam < 1
    x, y = table().tolist(), LABELS[labels].tolist()
    pairs = [(ROWS[i], ROWS[len(ROWS) - 1 - i]) for i in range(len(ROWS))]
    mixed = [[lam * a + (1 - lam) * b for a, b in zip(x[i], x[j], strict=True)] for i, j in pairs]
    targets = [[lam * a + (1 - lam) * b for a, b in zip(y[i], y[j], strict=True)] for i, j in pairs]
    batch = batch_of(labels)
    outcome = method.batch(batch, Collective())
    expected = loop_loss(head(method, mixed), targets, labels, SMOOTHING)
    assert float(outcome.terms["plain"].detach()) == pytest.approx(expected, rel=1e-5)
    assert outcome.encoded == len(ROWS)
    torch.testing.assert_close(
        method.encoded(batch, Reducer()), torch.tensor(mixed, dtype=torch.float32), rtol=1e-5, atol=1e-6
    )


def test_lambda_comes_from_a_beta_distribution_and_from_the_batch_alone() -> None:
    for alpha in (0.2, 1.0):
        task = task_of("single", MixupSettings(name="mixup", alpha=alpha, probability=0.75))
        method = made(mixup, "single", task)
        first = [np.array([row, 5]) for row in range(1500)]
        method.begin_epoch([], 3, Collective())
        shares = np.array([method.own_share(rows) for rows in first])
        assert (shares == 1).mean() == pytest.approx(0.25, abs=0.04)
        shares = shares[shares < 1]
        assert shares.mean() == pytest.approx(0.5, abs=0.05)
        assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.12)
    few = first[:20]
    method.begin_epoch([{}], 3, Collective(1, 2))
    other = [method.own_share(rows) for rows in few]
    method.begin_epoch([{}], 3, Collective(0, 3))
    assert other == [method.own_share(rows) for rows in few]
    method.begin_epoch([], 3, Collective(0, 3))
    assert other != [method.own_share(rows) for rows in few]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=20), st.integers(1, 4), st.data())
def test_each_worker_has_the_partners_of_its_rows(rows: list[int], world: int, data: st.DataObject) -> None:
    """Rows may come twice; what a worker holds is not read again."""
    everyone, rank = np.array(rows), data.draw(st.integers(0, world - 1))
    method: InputMixing = made(mixup, "single")
    method.begin_epoch([], 1, Collective(rank, world))
    local = everyone[rank::world]
    more = method.more_rows(local, everyone, None)
    values = torch.arange(31.0)[:, None]
    batch = Batch(
        local, values[local], torch.zeros(len(local), K), everyone, None, more, None if more is None else values[more]
    )
    assert method._partners(batch)[:, 0].tolist() == everyone[::-1][rank::world].tolist()
    if more is not None:
        assert not set(more.tolist()) & set(local.tolist())
        assert world > 1


def cut(seed: int, height: int, width: int) -> tuple[CutMix, Batch]:
    method: CutMix = made(cutmix, "single", task_of("single", seed=seed), LeNet5())
    images = torch.arange(N * 3 * height * width, dtype=torch.float32).reshape(N, 3, height, width)
    return method, batch_of("single", inputs=images)


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9))
def test_cutmix_is_its_formula_pixel_by_pixel(seed: int, height: int, width: int) -> None:
    method, batch = cut(seed, height, width)
    lam = method.own_share(batch.global_rows)
    row, column = (method.uniform(purpose, batch.global_rows) for purpose in (cutmix._ROW, cutmix._COLUMN))
    ratio = math.sqrt(1 - lam)
    high, wide, y, x = int(height * ratio), int(width * ratio), int(row * height), int(column * width)
    expected, inside = batch.inputs.clone(), 0
    for i in range(height):
        for j in range(width):
            if y - high // 2 <= i < y - high // 2 + high and x - wide // 2 <= j < x - wide // 2 + wide:
                inside += 1
                for b in range(len(ROWS)):
                    expected[b, :, i, j] = batch.inputs[len(ROWS) - 1 - b, :, i, j]
    found = method.mixed(batch.inputs, batch.inputs.flip(0), lam, batch.global_rows)
    assert torch.equal(found, expected)
    assert method.label_share(batch) == pytest.approx(1 - inside / (height * width))
    own = (found == batch.inputs).float().mean(dim=(1, 2, 3))
    apart = [b for b in range(len(ROWS)) if b != len(ROWS) // 2]
    assert own[apart].tolist() == pytest.approx([method.label_share(batch)] * len(apart))


def test_the_boxes_of_cutmix_differ_from_batch_to_batch() -> None:
    boxes = {cut(seed, 32, 32)[0].box(torch.zeros(1, 3, 32, 32), 0.75, ROWS) for seed in range(40)}
    assert len(boxes) > 30
    assert all(bottom - top <= 16 and right - left <= 16 for top, bottom, left, right in boxes)
    assert any(bottom - top < 16 for top, bottom, _, _ in boxes), "some are cut off at the border"


def test_cutmix_refuses_the_features_of_a_frozen_encoder_before_anything_runs() -> None:
    for encoder in (GivenFeatures(D), AdaptedEncoder(GivenFeatures(D))):
        with pytest.raises(ConfigError, match="cutmix: got the features of a frozen encoder, expected images"):
            made(cutmix, "single", encoder=encoder)
    frozen: dict[str, Any] = {"encoder": {"frozen": True}, "evaluate": {"control": "cutmix"}}
    with pytest.raises(ConfigError, match="cutmix"):
        prepare(settings_from(frozen), "anywhere", (), control=True)
    assert prepare(settings_from(frozen), "anywhere", (), control=False).stages
    assert prepare(settings_from({**frozen, "evaluate": {"control": "mixup"}}), "anywhere", (), control=True).stages


class Odd(nn.Module):
    """Parts of which only `first` and `last` are stages."""

    dimension = D

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.last = nn.Linear(D, D), nn.Linear(D, D), nn.Linear(D, D)
        self.unused, self.dropped = nn.Linear(D, D), nn.Dropout(0.5)
        self.pair = nn.LSTM(D, D)

    def forward(self, inputs: Tensor) -> Tensor:
        found = self.twice(self.twice(self.first(inputs)))
        found, _ = self.pair(found)
        last: Tensor = self.last(found)
        return last


def test_stages_are_parts_that_answer_with_the_batch_once() -> None:
    odd, lenet = Odd(), LeNet5()
    odd.twice.eval()
    before = torch.random.get_rng_state()
    assert stages_of(odd, torch.zeros(0, D)) == [odd.first, odd.last]
    assert stages_of(lenet, torch.zeros(5, 3, 32, 32)) == [lenet.conv1, lenet.conv2, lenet.fc1, lenet.fc2]
    given_features = GivenFeatures(D)
    assert stages_of(given_features, torch.zeros(5, D)) == [given_features]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert [part.training for part in (odd, odd.first, odd.twice)] == [True, True, False]
    assert not any(part._forward_hooks for part in (*odd.modules(), *lenet.modules()))


def test_manifold_mixup_mixes_at_a_drawn_stage() -> None:
    method: ManifoldMixup = made(manifold_mixup, "single", encoder=LeNet5())
    lenet, images = method.module.encoder, torch.rand(N, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    seen = set()
    for first in range(N):
        rows = np.roll(np.arange(N), -first)[:5]
        lam, place = method.own_share(rows), method.integer(manifold_mixup._PLACE, rows) % 5
        seen.add(place)
        x = images[rows]
        parts: list[Callable[[Tensor], Tensor]] = [
            lambda v: v,
            lenet.conv1,
            lambda v: lenet.conv2(torch.max_pool2d(torch.relu(v), 2)),
            lambda v: lenet.fc1(torch.max_pool2d(torch.relu(v), 2).flatten(1)),
            lambda v: lenet.fc2(torch.relu(v)),
        ]
        for number, layer in enumerate(parts):
            x = layer(x)
            x = lam * x + (1 - lam) * x.flip(0) if number == place else x
        found = method.encoded(batch_of("single", rows, images), Reducer(5))
        torch.testing.assert_close(found, torch.relu(x), rtol=1e-4, atol=1e-6)
    assert len(seen) > 2
    assert not any(part._forward_hooks for part in lenet.modules())


def test_the_triplets_of_a_batch_are_their_formula() -> None:
    for labels in LABELS:
        method = made(triplet, labels)
        outcome = method.batch(batch_of(labels), Collective())
        unit = torch.nn.functional.normalize(table()[ROWS], dim=1).tolist()
        own = [set(np.flatnonzero(LABELS[labels][row])) for row in ROWS]
        values = []
        for a in range(len(ROWS)):
            total = weight = 0.0
            for p in range(len(ROWS)):
                for q in range(len(ROWS)):
                    if p != a and own[a] & own[p] and not own[a] & own[q]:
                        share = len(own[a] & own[p]) / len(own[a] | own[p])
                        weight += share
                        total += share * max(0, math.dist(unit[a], unit[p]) - math.dist(unit[a], unit[q]) + 0.2)
            values.append(total / weight if weight else 0.0)
        assert float(outcome.terms["triplet"].detach()) == pytest.approx(sum(values) / len(values), rel=1e-5)
        assert sum(values) > 0
        assert method.objective.weights == {"plain": 1.0, "triplet": 0.3}


@pytest.mark.parametrize("labels", LABELS)
def test_supervised_contrast_stands_beside_the_cross_entropy(labels: str) -> None:
    method = made(sup_con, labels)
    outcome = method.batch(batch_of(labels), Collective())
    membership = torch.from_numpy(LABELS[labels][ROWS]).float()
    unit = torch.nn.functional.normalize(table()[ROWS], dim=1)
    expected = method.term(unit, membership, several_labels=labels == "several")
    torch.testing.assert_close(outcome.terms["sup_con"], expected)
    assert float(expected) > 0.1
    logits = head(method, table()[ROWS].tolist())
    plain = loop_loss(logits, membership.tolist(), labels, SMOOTHING)
    assert float(outcome.terms["plain"].detach()) == pytest.approx(plain, rel=1e-5)
    assert method.objective.weights == {"plain": 1.0, "sup_con": 0.3}


@pytest.mark.parametrize("labels", LABELS)
def test_self_distillation_answers_half_as_in_the_epoch_before(labels: str) -> None:
    method, y = made(self_distillation, labels), LABELS[labels].tolist()
    logits = head(method, table().tolist())
    later = np.array([5, 1, 7])  # 1 did not come in the first epoch
    for epoch, rows in enumerate((ROWS, later, later)):
        method.begin_epoch([{}] * epoch, 3, Collective())
        targets = []
        for row in rows:
            x, came = logits[row], epoch == 2 or (epoch == 1 and row in ROWS)
            whole = math.fsum(map(math.exp, x))
            p = [math.exp(v) / whole if labels == "single" else 1 / (1 + math.exp(-v)) for v in x]
            targets.append([t if not came else 0.5 * t + 0.5 * q for t, q in zip(y[row], p, strict=True)])
        outcome = method.batch(batch_of(labels, rows), Collective())
        expected = loop_loss([logits[row] for row in rows], targets, labels, SMOOTHING)
        assert float(outcome.terms["plain"].detach()) == pytest.approx(expected, rel=1e-5)
        method.end_epoch(Collective())
    assert method.state_dict()["bank"]["features"][8].tolist() == [0, 0, 0], "never came"


@pytest.mark.parametrize("labels", LABELS)
def test_batch_former_is_half_the_loss_of_the_layer_s_output(labels: str) -> None:
    method = made(batch_former, labels)
    layer, batch = method.module.batch_former, batch_of(labels)
    before = torch.random.get_rng_state()
    outcome = method.batch(batch, Collective())
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(method.integer(batch_former._DROPOUT, ROWS))
    features = layer(table()[ROWS][:, None])[:, 0]
    expected = loop_loss(head(method, features.tolist()), LABELS[labels][ROWS].tolist(), labels, SMOOTHING)
    assert float(outcome.terms["batch_former"].detach()) == pytest.approx(expected, rel=1e-5)
    assert method.objective.weights == {"plain": 0.5, "batch_former": 0.5}
    layer.eval()
    assert not torch.allclose(features, layer(table()[ROWS][:, None])[:, 0]), "half of it is dropped in training"
    assert set(method.module.answers(table())) == {"plain"}
    torch.testing.assert_close(method.module(table()), method.module.plain_head(table()))


def test_the_heads_of_batch_former_divide_the_dimension() -> None:
    with pytest.raises(ConfigError, match="heads of batch_former: got 5 for features of dimension 8"):
        batch_former.BatchFormerModel(GivenFeatures(D), K, heads=5)


@pytest.mark.parametrize("room", BUILDS)
def test_a_control_takes_the_methods_weight_and_its_own_defaults(room: Any) -> None:
    beside: Control = made(room, "single", task_of("single", CSRMSSettings(weight_plain=0.25)))
    alone: Control = made(room, "single", task_of("single", MethodSettings()))
    for name, weight in alone.objective.weights.items():
        assert beside.objective.weights[name] == pytest.approx(weight / 4)
    if isinstance(beside, Mixing):
        assert (beside.alpha, beside.probability) == ({mixup: 0.2, manifold_mixup: 2.0}[room], 1.0)


def test_settings_of_a_control_by_itself_count_and_are_reported() -> None:
    own = MixupSettings(name="mixup", alpha=0.7, probability=0.5)
    method = made(mixup, "single", task_of("single", own))
    assert (method.alpha, method.probability) == (0.7, 0.5)
    assert own.reported() == {"method": "mixup", "settings": {"alpha": 0.7, "probability": 0.5}}


def test_the_packages_of_a_control_are_missed_before_the_first_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(needs, "check_installed", asked.append)
    for control, package in (("plain", False), ("sup_con", True), ("triplet", True), ("mixup", False)):
        asked.clear()
        work = prepare(settings_from({"evaluate": {"control": control}}), "anywhere", (), control=True)
        needs.check_needs(list(work.stages), work.settings)
        assert ("pytorch_metric_learning" in asked) is package
