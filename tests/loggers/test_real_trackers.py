"""Every logger with its real package: an attempt that was killed, one that goes on, and what the package then has.

`make test-loggers` brings the packages; where one is missing these tests fail.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.loggers import LOGGERS
from ray_jobs.loggers.mlflow import TAG
from tests.event_files import scalars
from tests.loggers import attempts

pytestmark = [pytest.mark.loggers, pytest.mark.timeout(600), pytest.mark.filterwarnings("default")]

ROOT = Path(__file__).resolve().parents[2]
Points = dict[str, list[tuple[int, float]]]


def attempt(logger: str, run: Path, epochs: int, *kill: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "MLFLOW_", "TRACKIO_"))}
    home = run.parent / "home"
    home.mkdir(exist_ok=True)
    kept |= {"HOME": str(home), "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(home / ".cache"), "CI": "true"}
    return subprocess.run(
        [sys.executable, attempts.__file__, logger, str(run), str(epochs), *kill], env=kept, cwd=run.parent,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def of_tensorboard(run: Path) -> Points:
    return {f"train/{tag}": points for tag, points in scalars(run / "tensorboard/train").items()}


def of_mlflow(run: Path) -> Points:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{run}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("csrms")
    [found] = client.search_runs([experiment.experiment_id])  # both attempts are one
    assert (found.info.status, found.info.run_name) == ("FINISHED", "mine")
    assert found.data.params["seed"] == "7"
    assert found.data.tags[TAG]
    return {
        name: [(point.step, point.value) for point in client.get_metric_history(found.info.run_id, name)]
        for name in found.data.metrics
    }


def of_wandb(run: Path) -> Points:
    from wandb.proto import wandb_internal_pb2 as proto

    files = sorted((run / "wandb").glob("offline-run-*/*.wandb"))
    assert len({path.name for path in files}) == 1  # both attempts are of one id
    found: Points = {}
    for path in files:
        for data in records(path.read_bytes()):
            record = proto.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "history":
                row = {
                    item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item
                }
                for name, value in row.items():
                    if not name.startswith("_") and not name.endswith("/step"):
                        found.setdefault(name, []).append((row["train/step"], value))
    return found


def records(data: bytes) -> Iterator[bytes]:
    """The records of a .wandb file, in the form of LevelDB's log: blocks of (checksum, length, kind, bytes)."""
    place, held = 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, size, kind = struct.unpack("<IHB", data[place : place + 7])
        if kind == 0:
            return
        held = (b"" if kind in (1, 2) else held) + data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):
            yield held


def of_trackio(run: Path) -> Points:
    import sqlite3

    with sqlite3.connect(run.parent / "home/.cache/huggingface/trackio/csrms.db") as store:
        rows = store.execute("SELECT run_name, step, metrics FROM metrics ORDER BY step").fetchall()
    assert len({name for name, *_ in rows}) == 1
    found: Points = {}
    for _, step, metrics in rows:
        for name, value in json.loads(metrics).items():
            found.setdefault(name, []).append((step, value))
    return found


READERS: dict[str, Callable[[Path], Points]] = {
    "tensorboard": of_tensorboard,
    "mlflow": of_mlflow,
    "wandb": of_wandb,
    "trackio": of_trackio,
}


def test_every_logger_is_tried() -> None:
    assert READERS.keys() == LOGGERS.keys()


@pytest.mark.parametrize("logger", READERS)
def test_every_figure_stands_once_in_the_order_of_its_steps(logger: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    killed = attempt(logger, run, 2, "kill")
    assert (killed.returncode, killed.stdout, killed.stderr) == (-signal.SIGKILL, "", "")
    said = attempt(logger, run, 4)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    found: dict[str, Any] = READERS[logger](run)
    assert found["train/loss"] == [(step, pytest.approx(1 / step, abs=1e-5)) for step in (1, 2, 3, 4)]
    assert [step for step, _ in found["train/plain_accuracy"]] == [1, 2, 3, 4]
    assert found["train/rows"] == [(1, 100.0)]  # of the second attempt
    assert found["train/seconds"] == [(1, 2.0)]
    assert not {"train/epoch", "train/images"} & found.keys()
    assert attempt(logger, run, 4).returncode == 0
    assert READERS[logger](run) == found


def test_a_server_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    run = tmp_path / "run"
    kept = dict(os.environ) | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT)}
    said = subprocess.run(
        [sys.executable, attempts.__file__, "mlflow", str(run), "2"], env=kept, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert said.returncode == 0
    warnings = [line for line in said.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: loggers: mlflow hears no more of this run: ")
    assert '"done"' in (run / "log.jsonl").read_text().splitlines()[-1]
