"""A clustering whose rows a device places is the same, byte for byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from csrms_dist.art.patterns import cluster, two_level
from csrms_dist.art.scaling import BLOCK
from csrms_dist.art.settings import ClusterSettings
from csrms_dist.art.spherical.int8_products import nearest
from csrms_dist.art.spherical.learner import SphericalLearner
from csrms_dist.art.two_level import tasks
from csrms_dist.assignment.on_device import OnDevice
from csrms_dist.assignment.padding import Shape

ON_DEVICE = OnDevice("cpu", few=0, shape=Shape(tile=16))


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(12, 6))
    rows = (centres[draw.integers(12, size=900)] + draw.normal(size=(900, 6)) * 0.4).astype(np.float32)
    rows[7] = rows.mean(axis=0)
    np.save(tmp_path / "vectors.npy", rows)
    return tmp_path / "vectors.npy"


@pytest.mark.parametrize(
    "settings",
    [
        ClusterSettings(vigilance=0.7, learn_rows=200),
        ClusterSettings(algorithm="kmeans", n_patterns=15, learn_rows=200),
    ],
    ids=lambda settings: settings.algorithm,
)
def test_a_device_changes_no_byte(
    settings: ClusterSettings, vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, calls = [f"row {n}" for n in range(900)], []
    whole = OnDevice._placed

    def counted(self, q, *more):
        calls.append(len(q))
        return whole(self, q, *more)

    monkeypatch.setattr(OnDevice, "_placed", counted)
    for name, placing in (("cpu", None), ("device", ON_DEVICE)):
        cluster(vectors, ids, settings, None, tmp_path / "work", placing=placing).save(tmp_path / name)
    assert calls.count(900) >= 2, "every pass over all rows"
    for file in sorted((tmp_path / "cpu").iterdir()):
        assert file.read_bytes() == (tmp_path / "device" / file.name).read_bytes(), file.name


@pytest.mark.parametrize("at_once", [BLOCK, 3 * BLOCK])
def test_a_task_gives_so_many_rows_at_once(at_once: int, tmp_path: Path) -> None:
    draw, n = np.random.default_rng(1), 2 * BLOCK + 5
    rows, p = (draw.integers(-127, 128, (count, 5)).astype(np.int8) for count in (n, 9))
    np.save(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "p.npy", p)
    for name, kind in tasks.OUTPUTS.items():
        np.save(tmp_path / f"{name}.npy", np.zeros(n, kind))
    calls = []

    class Noted(SphericalLearner):
        def assign(self, block, *given, **named):
            calls.append(len(block))
            return super().assign(block, *given, **named)

    counted = tasks.assign(
        tmp_path / "rows.npy", Noted(), tmp_path / "p.npy", tmp_path, 3, n, 0.5, False, True, at_once
    )
    assert calls == [len(range(n)[first : first + at_once]) for first in range(3, n, at_once)]
    expected = nearest(rows, p)[0]
    assert np.load(tmp_path / "winner.npy")[3:].tolist() == expected[3:].tolist()
    assert counted.sizes.tolist() == np.bincount(expected[3:], minlength=9).tolist()
    assert counted.sums[4].tolist() == rows[3:][expected[3:] == 4].sum(axis=0, dtype=np.int64).tolist()


def test_the_steps_that_are_kept_do_not_name_the_device() -> None:
    """A stopped clustering goes on with another device."""
    plan = two_level(ClusterSettings(), 100, None)
    assert "at_once" not in repr(plan)
    assert "placing" not in repr(plan)
