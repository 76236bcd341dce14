"""Prototypes against loops: the own image is left out of its mean, a pattern of one image is skipped for it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from csrms_dist.basics.collective import Collective
from csrms_dist.errors import RunDirectoryError
from csrms_dist.models import prototypes as module
from csrms_dist.models.alignment.alignment import towards
from csrms_dist.models.device_bank import DeviceBank
from csrms_dist.models.feature_bank import FeatureBank, generation_file
from csrms_dist.models.prototypes import PatternPrototypes, group_means, nearest_rows

D = 3


def mean(rows: list[list[float]]) -> list[float]:
    return [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]


def unit(row: list[float]) -> list[float]:
    return [x / max(math.hypot(*row), 1e-12) for x in row]


def loop_nearest(
    feature: list[float], features: list[list[float]], pattern: list[int], row: int | None, k: int
) -> list[list[float]]:
    """The k nearest pattern means, nearest first, without `row`."""
    means = []
    for j in range(max(pattern) + 1):
        members = [features[i] for i in range(len(features)) if pattern[i] == j and i != row]
        if members:
            means.append(mean(members))
    return sorted(means, key=lambda m: math.dist(unit(feature), unit(m)))[:k]


def made(pattern: list[int], seed: int) -> Tensor:
    return torch.randn(len(pattern), D, generator=torch.Generator().manual_seed(seed))


patterns = st.lists(st.integers(0, 5), min_size=2, max_size=25).map(
    lambda raw: [sorted(set(raw)).index(p) for p in raw]
)


@given(patterns, st.integers(1, 8), st.integers(0, 1000))
def test_rows_are_left_out_of_their_own_pattern(pattern: list[int], k: int, seed: int) -> None:
    features = made(pattern, seed)
    rows = torch.arange(len(pattern))
    moved = features + 0.3 * made(pattern, seed + 1)  # what the encoder says now; the bank is one epoch old
    prototypes = PatternPrototypes(features.numpy(), np.array(pattern), max(pattern) + 1)
    found, mask = prototypes.nearest(moved, rows, k)
    assert found.shape == (len(pattern), k, D)
    for i in range(len(pattern)):
        expected = loop_nearest(moved[i].tolist(), features.tolist(), pattern, i, k)
        assert int(mask[i].sum()) == len(expected)
        if expected:
            torch.testing.assert_close(found[i, mask[i]], torch.tensor(expected), rtol=1e-4, atol=1e-5)


@given(patterns, st.integers(1, 8), st.integers(0, 1000))
def test_unseen_images_see_every_pattern(pattern: list[int], k: int, seed: int) -> None:
    features, queries = made(pattern, seed), made(pattern, seed + 1)
    prototypes = PatternPrototypes(features.numpy(), np.array(pattern), max(pattern) + 1)
    found, mask = prototypes.nearest(queries, None, k)
    for i in range(len(pattern)):
        expected = loop_nearest(queries[i].tolist(), features.tolist(), pattern, None, k)
        assert mask[i].tolist() == [True] * len(expected) + [False] * (k - len(expected))
        torch.testing.assert_close(found[i, : len(expected)], torch.tensor(expected), rtol=1e-4, atol=1e-5)
    means = prototypes.means
    again = nearest_rows(queries, means, min(k, len(means)), None)
    assert torch.equal(again[0], found[:, : len(means)])


def test_the_only_image_of_a_pattern_does_not_meet_itself() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]])
    prototypes = PatternPrototypes(features.numpy(), np.array([0, 1, 1]), 2)
    found, mask = prototypes.nearest(features, np.arange(3), 2)
    assert mask.tolist() == [[True, False], [True, True], [True, True]]
    torch.testing.assert_close(found[0, 0], torch.tensor([0.05, 1.0]))
    torch.testing.assert_close(found[1], torch.tensor([[0.1, 1.0], [1.0, 0.0]]))  # the other member, not the mean
    alone = PatternPrototypes(features[:1].numpy(), np.array([0]), 1).nearest(features[:1], np.array([0]), 3)
    assert not alone[1].any()
    assert torch.isfinite(alone[0]).all()


def test_no_gradient_reaches_a_prototype() -> None:
    features = torch.randn(6, D, requires_grad=True)
    prototypes = PatternPrototypes(torch.randn(6, D).numpy(), np.array([0, 0, 1, 1, 2, 2]), 3)
    assert not prototypes.nearest(features, np.arange(6), 2)[0].requires_grad


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=30), st.integers(0, 100))
def test_group_means(group: list[int], seed: int) -> None:
    features = made(group, seed)
    found = group_means(features.numpy(), np.array(group), 5)
    for g in range(5):
        members = [features[i].tolist() for i in range(len(group)) if group[i] == g]
        torch.testing.assert_close(found[g], torch.tensor(mean(members) if members else [0.0] * D))


def test_align_is_eq_11_and_12() -> None:
    smoothed, cluster, label = torch.randn(4, D), torch.randn(4, D), torch.randn(4, D)
    found = towards(towards(smoothed, cluster), label)
    for b in range(4):
        expected = [
            0.5 * (0.5 * f + 0.5 * w) + 0.5 * p for f, w, p in zip(smoothed[b], cluster[b], label[b], strict=True)
        ]
        torch.testing.assert_close(found[b], torch.stack(expected))
    assert torch.equal(towards(smoothed, cluster, share=1.0), smoothed)


def test_sums_do_not_depend_on_the_blocks_that_they_are_made_in(monkeypatch: pytest.MonkeyPatch) -> None:
    group = [0, 2, -1, 0, 1, 2, 2, -1, 0, 1]
    features = made(group, 0).numpy()
    whole = group_means(features, np.array(group), 4)
    monkeypatch.setattr(module, "ROWS", 3)
    assert torch.equal(group_means(features, np.array(group), 4), whole)


@pytest.fixture(params=[FeatureBank, DeviceBank])
def kind(request: pytest.FixtureRequest) -> type[FeatureBank]:
    found: type[FeatureBank] = request.param
    return found


@pytest.fixture(params=["memory", "files"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return None if request.param == "memory" else tmp_path


def test_the_bank_reads_one_generation_and_writes_the_next(kind: type[FeatureBank], folder: Path | None) -> None:
    start = np.zeros((4, 2), np.float32)
    bank = kind(start, folder)
    new = torch.ones(2, 2, requires_grad=True)
    bank.write(np.array([3, 1]), new)
    assert not bank.on_host().any()
    bank.turn(Collective())
    assert bank.generation == 1
    assert bank.on_host()[:, 0].tolist() == [0, 1, 0, 1]
    assert not bank.read(np.array([1])).requires_grad
    bank.write(np.array([0]), torch.full((1, 2), 5.0))
    assert not start.any()  # the table that it came from is untouched
    assert bank.read(np.array([[0, 1], [2, 3]]))[:, :, 0].tolist() == [[0, 1], [0, 1]]
    bank.turn(Collective())
    assert bank.on_host()[:, 0].tolist() == [5, 1, 0, 1]


def test_a_bank_comes_back_as_it_was_saved(kind: type[FeatureBank], folder: Path | None) -> None:
    start = torch.randn(4, 2).numpy()
    bank = kind(start, folder)
    bank.write(np.array([0]), torch.ones(1, 2))
    bank.turn(Collective())
    state = bank.state_dict()
    bank.write(np.array([2]), torch.full((1, 2), 9.0))  # of an epoch that is not finished
    again = kind(start, folder)
    again.load_state_dict(state)
    assert again.generation == 1
    expected = start.copy()
    expected[0] = 1
    assert np.array_equal(again.on_host(), expected)
    again.turn(Collective())
    assert np.array_equal(again.on_host(), expected)


def test_a_bank_in_files_names_its_generation_and_keeps_the_last_three(kind: type[FeatureBank], tmp_path: Path) -> None:
    bank = kind(np.zeros((3, 2), np.float32), tmp_path)
    for epoch in range(1, 5):
        bank.write(np.array([0]), torch.full((1, 2), float(epoch)))
        bank.turn(Collective())
        assert bank.state_dict() == {"generation": epoch}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bank.2.npy", "bank.3.npy", "bank.4.npy"]
    generation_file(tmp_path, 4).unlink()
    with pytest.raises(RunDirectoryError, match="the generation that the checkpoint names"):
        kind(np.zeros((3, 2), np.float32), tmp_path).load_state_dict({"generation": 4})


def test_a_fixed_bank_stays_the_table(kind: type[FeatureBank], tmp_path: Path) -> None:
    start = torch.randn(3, 2).numpy()
    bank = kind(start, tmp_path, fixed=True)
    bank.write(np.array([0]), torch.ones(1, 2))
    bank.turn(Collective())
    assert bank.generation == 1
    assert np.array_equal(bank.on_host(), start)
    assert not list(tmp_path.iterdir())


def test_each_generation_is_shared_and_the_fourth_last_dropped(
    kind: type[FeatureBank], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What other nodes need of a run that is not local."""
    calls: list[tuple[str, str]] = []
    for name in ("share", "drop"):
        monkeypatch.setattr(f"{kind.__module__}.{name}", lambda path, name=name: calls.append((name, path.name)))
    bank = kind(np.zeros((3, 2), np.float32), tmp_path)
    for _ in range(4):
        bank.write(np.array([0]), torch.ones(1, 2))
        bank.turn(Collective())
    assert [path for name, path in calls if name == "share"] == [f"bank.{n}.npy" for n in (1, 2, 3, 4)]
    assert [path for name, path in calls if name == "drop"][-1] == "bank.1.npy"


def test_a_bank_on_the_device_may_store_half_of_the_bits(tmp_path: Path) -> None:
    start = torch.randn(5, 3).numpy()
    bank = DeviceBank(start, tmp_path, kind=torch.bfloat16)
    rounded = torch.from_numpy(start).bfloat16().float()
    assert torch.equal(bank.read(np.arange(5)), rounded)
    bank.write(np.array([2]), torch.full((1, 3), 1 / 3))
    bank.turn(Collective())
    rounded[2] = torch.tensor(1 / 3).bfloat16()
    assert bank.read(np.arange(5)).dtype == torch.float32
    assert torch.equal(bank.read(np.arange(5)), rounded)
    assert np.array_equal(np.load(generation_file(tmp_path, 1)), rounded.numpy())


def test_prototypes_of_features_on_the_device_are_those_of_the_host() -> None:
    features, pattern = torch.randn(30, D), np.arange(30) % 7
    there, here = PatternPrototypes(features, pattern, 7), PatternPrototypes(features.numpy(), pattern, 7)
    rows = np.array([3, 28, 0])
    assert torch.equal(there.means, here.means)
    for a, b in zip(there.nearest(features[rows], rows, 3), here.nearest(features[rows], rows, 3), strict=True):
        assert torch.equal(a, b)
