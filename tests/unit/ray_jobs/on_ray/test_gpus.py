"""Which share of a GPU each actor of a stage asks for, on machines with and without."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import torch

from csrms_dist.errors import ConfigError
from ray_jobs.on_ray import gpus
from ray_jobs.on_ray.gpus import check_gpu, share_of_gpus
from ray_jobs.settings import settings_from
from ray_jobs.stages.cluster import GPU_ROWS, gpus_for

Machine = Callable[[int], None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine, or a cluster of Ray, with so many GPUs."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    @contextlib.contextmanager
    def session(slots: int) -> Iterator[None]:
        yield

    def have(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        there = {"CPU": 8.0, **({"GPU": float(count)} if count else {})}
        monkeypatch.setattr(gpus, "ray_session", session)
        monkeypatch.setattr(gpus, "require", lambda name: SimpleNamespace(cluster_resources=lambda: there))

    return have


@pytest.mark.parametrize(
    ("count", "hands", "share"),
    [(0, 1, 0.0), (0, 4, 0.0), (1, 1, 1.0), (4, 1, 1.0), (1, 2, 0.5), (1, 3, 0.3333), (8, 3, 1.0), (2, 8, 0.25)],
)
def test_actors_share_the_gpus(machine: Machine, count: int, hands: int, share: float) -> None:
    machine(count)
    assert share_of_gpus("auto", "cluster.device", hands, 9) == share
    assert share_of_gpus("cpu", "cluster.device", hands, 9) == 0.0
    if count:
        assert share_of_gpus("cuda", "cluster.device", hands, 9) == share


@pytest.mark.parametrize("hands", [1, 2])
def test_a_gpu_that_is_not_there_is_not_waited_for(machine: Machine, hands: int) -> None:
    machine(0)
    with pytest.raises(ConfigError, match=r"^cluster\.device: got 'cuda' on a machine .*; set it to auto or cpu"):
        share_of_gpus("cuda", "cluster.device", hands, 9)


def test_a_cluster_is_asked_when_there_is_one(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(0)
    with pytest.raises(ConfigError, match="on a machine without a GPU"):
        check_gpu("cluster.device")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    check_gpu("cluster.device")
    with pytest.raises(ConfigError, match="on a cluster whose Ray has no GPU"):
        share_of_gpus("cuda", "cluster.device", 1, 9)


@pytest.mark.parametrize(
    ("device", "algorithm", "rows", "share"),
    [
        ("auto", "spherical", GPU_ROWS, 1.0),
        ("auto", "kmeans", GPU_ROWS, 1.0),
        ("auto", "spherical", GPU_ROWS - 1, 0.0),
        ("auto", "fuzzy", GPU_ROWS, 0.0),
        ("cpu", "spherical", GPU_ROWS, 0.0),
        ("cuda", "spherical", 10, 1.0),
    ],
)
def test_when_clustering_takes_a_gpu(machine: Machine, device: str, algorithm: str, rows: int, share: float) -> None:
    machine(1)
    settings = settings_from({"cluster": {"device": device, "algorithm": algorithm}}).cluster
    assert gpus_for(settings, rows, 1, 2) == share
