"""Curves are written once an epoch, also by a training that was interrupted; without the setting there are none."""

from __future__ import annotations

from pathlib import Path

from ray_jobs.on_ray.curves import Curves

HISTORY = [{"epoch": e + 1.0, "images": 10.0, "loss": 1 / (e + 1), "plain_accuracy": 0.1 * e} for e in range(4)]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_every_epoch_stands_there_once(tmp_path: Path) -> None:
    with Curves(tmp_path / "train") as curves:
        curves.put(HISTORY[:2])
    with Curves(tmp_path / "train") as curves:  # goes on after an interruption
        curves.put(HISTORY[:2])
        curves.put(HISTORY[:3])
        curves.put(HISTORY)
    found = scalars(tmp_path / "train")
    assert set(found) == {"loss", "plain_accuracy"}
    assert [step for step, _ in found["loss"]] == [1, 2, 3, 4]
    assert [round(value, 6) for _, value in found["loss"]] == [round(r["loss"], 6) for r in HISTORY]


def test_without_the_setting_nothing_is_written(tmp_path: Path) -> None:
    with Curves(None) as curves:
        curves.put(HISTORY)
    assert not list(tmp_path.iterdir())
