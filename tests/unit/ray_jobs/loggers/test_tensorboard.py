"""Event files: every figure once, also of a run that was interrupted; of other settings nothing stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from ray_jobs.loggers.logger import Place, flat
from ray_jobs.loggers.tensorboard import TensorBoard
from tests.event_files import scalars


def place(folder: Path, key: str = "k") -> Place:
    return Place("run", "runs/run", key, folder, {"train": {"lr": 0.1}})


def write(folder: Path, key: str, steps: range) -> None:
    logger = TensorBoard(place(folder, key))
    for step in steps:
        logger.log({"train/loss": 1 / step, "train/plain_accuracy": 0.25}, step)
    logger.log({"features/seconds": 2.0}, 1)
    logger.close()


def test_an_attempt_that_goes_on_adds_to_what_is_there(tmp_path: Path) -> None:
    write(tmp_path / "t", "k", range(1, 3))
    write(tmp_path / "t", "k", range(3, 5))
    assert {path.name for path in (tmp_path / "t").iterdir()} == {".key", "features", "train"}
    assert scalars(tmp_path / "t/train") == {
        "loss": [(step, round(1 / step, 5)) for step in range(1, 5)],
        "plain_accuracy": [(step, 0.25) for step in range(1, 5)],
    }


def test_other_settings_begin_anew(tmp_path: Path) -> None:
    write(tmp_path / "t", "k", range(1, 5))
    write(tmp_path / "t", "other", range(1, 2))
    assert scalars(tmp_path / "t/train")["loss"] == [(1, 1.0)]


@pytest.mark.parametrize("value", [3, "text", [1, 2], None])
def test_settings_are_flat_for_trackers(value: object) -> None:
    assert flat({"seed": 1, "train": {"lr": value, "deep": {"er": 2}}}) == {
        "seed": 1, "train.lr": value, "train.deep.er": 2
    }  # fmt: skip
