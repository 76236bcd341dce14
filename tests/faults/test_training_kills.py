"""Workers of a training are killed and stopped, and a node is lost: the losses are those of an undisturbed training.

300 digits on two nodes of one machine, two workers, checkpoints also within epochs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.harness import ROOM, Process, csrms, title
from tests.end_to_end.made import write_digits_parquet

pytestmark = [ROOM, pytest.mark.slow]

CONFIG = "config.yaml"
EPOCHS = 60
TEXT = f"""
name: small
data: {{dataset: parquet, path: images, image_size: 32}}
pretrain: {{epochs: 1, lr: 0.02}}
cluster: {{n_patterns: 20}}
train: {{epochs: {EPOCHS}, lr: 0.01, batch_size: 16, checkpoint_minutes: 0.02, checkpoints_kept: 2, stall_seconds: 10}}
"""
SCRIPT = """
import os, sys

from ray_jobs.on_ray.session import ENVIRONMENT, LOCAL

for key, value in (ENVIRONMENT | LOCAL | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}).items():
    os.environ[key] = value
from ray.cluster_utils import Cluster

node = {"num_cpus": 2, "object_store_memory": 100 * 2**20}
cluster = Cluster(initialize_head=True, head_node_args={**node, "num_cpus": 0})
for _ in range(2):
    cluster.add_node(**node)
os.environ["RAY_ADDRESS"] = cluster.address
from ray_jobs import run

run("config.yaml", None, sys.argv[1:], until="train")
cluster.shutdown()
"""
WORKERS = "train.workers=2"


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a run has all that a training needs."""
    folder = tmp_path_factory.mktemp("ready")
    write_digits_parquet(folder / "images", 300)
    (folder / CONFIG).write_text(TEXT)
    (folder / "train.py").write_text(SCRIPT)
    said = csrms("graph", CONFIG, folder=folder)
    assert said.code == 0, said.err
    return folder


@pytest.fixture(scope="module")
def undisturbed(ready: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    shutil.copytree(ready, folder)
    said = csrms("train", CONFIG, "--set", WORKERS, folder=folder)
    assert said.code == 0, said.err
    return history(folder)


def history(folder: Path) -> list[dict[str, float]]:
    found: list[dict[str, float]] = json.loads((folder / "runs/small/train/stamp.json").read_text())["facts"]["history"]
    return found


def workers(process: Process) -> list[int]:
    return sorted(pid for pid in process.processes() if "RayTrainWorker" in title(pid))


def raylet_of(pid: int) -> int:
    """The parent of a worker's process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("how", ["worker killed", "worker stopped", "rank 0 stopped", "node lost"])
def test_the_losses_are_those_of_an_undisturbed_training(
    ready: Path, undisturbed: list[dict[str, float]], tmp_path: Path, how: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(ready, folder)
    with Process([sys.executable, "train.py", WORKERS], folder) as process:
        process.wait_until(lambda: bool(list(folder.glob("runs/small/.checkpoints/*/state.pt"))), "a checkpoint")
        time.sleep(0.5)
        before, started = workers(process), time.monotonic()
        assert len(before) == 2
        if how == "node lost":
            os.kill(raylet_of(before[0]), signal.SIGKILL)
        elif how == "worker killed":
            os.kill(before[1], signal.SIGKILL)
        else:
            os.kill(before[1 if how == "worker stopped" else 0], signal.SIGSTOP)
        process.wait_until(lambda: bool(set(workers(process)) - set(before)), "new workers")
        print(f"{how:<15} {time.monotonic() - started:.1f} s", file=sys.stderr)
        said = process.finish()
    assert said.code == 0, said.err
    assert "Traceback" not in said.err
    assert "train: started again, with 2 workers, after epoch " in said.err
    if "stopped" in how:
        assert "training (train): worker " in said.err
        assert "got no answer for " in said.err
    found = history(folder)
    assert len(found) == EPOCHS
    for one, other in zip(undisturbed, found, strict=True):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-6)
    assert not list(folder.glob("runs/small/.checkpoints/*"))


def test_one_two_and_four_workers_have_the_same_losses(
    ready: Path, undisturbed: list[dict[str, float]], tmp_path: Path
) -> None:
    """To four decimals over the first epochs."""
    for number in (1, 4):
        folder = tmp_path / str(number)
        shutil.copytree(ready, folder)
        said = csrms("train", CONFIG, "--set", f"train.workers={number}", folder=folder)
        assert said.code == 0, said.err
        for one, other in zip(undisturbed[:5], history(folder)[:5], strict=True):
            assert one["images"] == other["images"]
            assert one["loss"] == pytest.approx(other["loss"], abs=5e-5)


def test_workers_come_and_go_with_the_nodes(ready: Path, undisturbed: list[dict[str, float]], tmp_path: Path) -> None:
    """[1, 4] on two nodes of two CPUs: four begin, two remain when a node is lost."""
    folder = tmp_path / "run"
    shutil.copytree(ready, folder)
    with Process([sys.executable, "train.py", "train.workers=[1,4]"], folder) as process:
        process.wait_until(lambda: bool(list(folder.glob("runs/small/.checkpoints/*/state.pt"))), "a checkpoint")
        before = workers(process)
        assert len(before) == 4
        os.kill(raylet_of(before[0]), signal.SIGKILL)
        said = process.finish()
    assert said.code == 0, said.err
    assert "train: started again, with 2 workers, after epoch " in said.err
    found: list[Any] = history(folder)
    assert len(found) == EPOCHS
    for one, other in zip(undisturbed[:3], found[:3], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=5e-5)
