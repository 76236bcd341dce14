"""What coming and going machines cost a training: rows a second including recovery, over undisturbed rows a second.

Nodes of one CPU each are raylets of this machine. Every so often their number is drawn anew from 1 to 4 by a seed; what
is too much is killed without a word, and the training (train.workers: [1, 4]) goes on with what there is. Undisturbed
is a training with that number of workers from its first epoch on. After Ray's elastic_e2e.py, which draws 4 to 32 GPUs
every five minutes for an hour.

    python benchmarks/elastic.py --every 300 --periods 6
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

MOST = 4
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
SETS = ("pretrain.epochs=1", "train.epochs=100000", "train.lr=0.01", "cluster.actors=1", "features.actors=1")
POLL_S = 0.5
GONE_S = 10.0
"""Until Ray has ended the workers of a driver that was killed."""


def schedule(seed: int, periods: int) -> list[int]:
    """Workers in each period: from 1 to MOST, never twice the same in a row."""
    draw, found = random.Random(seed), [2]  # noqa: S311
    while len(found) < periods:
        found.append(draw.choice([n for n in range(1, MOST + 1) if n != found[-1]]))
    return found


def command(folder: Path, stage: str, *sets: str) -> list[str]:
    line = [sys.executable, "-m", "ray_jobs.commands.cli", stage, f"{folder}/run.yaml", "--out", f"{folder}/run"]
    return line + [word for some in (*SETS, *sets) for word in ("--set", some)]


def prepare(folder: Path) -> None:
    """Everything before `train`, in this process's neighbour."""
    (folder / "run.yaml").write_text("data: {dataset: digits}\n")
    subprocess.run(command(folder, "graph"), check=True, env=own() | {"RAY_ADDRESS": ""})


def own() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path[1:])}


class Rows:
    """How many rows a training has behind it, by its checkpoints."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._at, self.rows = folder, 0, 0

    def look(self) -> int:
        for path in (self._folder / "run").glob(".checkpoints/*/state.pt"):
            changed = path.stat().st_mtime_ns
            if changed != self._at:
                state = torch.load(path, weights_only=True)
                part = state.get("part") or {"images": 0}
                self._at, self.rows = changed, int(sum(e["images"] for e in state["history"]) + part["images"])
        return self.rows


@contextmanager
def training(folder: Path, address: str, workers: str) -> Iterator[Rows]:
    """A training from its beginning, which is killed at the end of the block."""
    for path in (folder / "run").glob(".checkpoints/*/*"):
        if path.is_file():
            path.unlink()
    process = subprocess.Popen(
        command(folder, "train", f"train.workers={workers}"), env=own() | {"RAY_ADDRESS": address},
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    rows = Rows(folder)
    try:
        while rows.look() == 0:
            if process.poll() is not None:
                raise SystemExit("the training ended before its first epoch")
            time.sleep(POLL_S)
        yield rows
    finally:
        process.kill()
        process.wait()
        time.sleep(GONE_S)


class Nodes:
    """Raylets of one CPU each beside a head that has none."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster: Any = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0})
        self._nodes: list[Any] = []

    def be(self, number: int) -> None:
        """So many nodes; those that go are killed."""
        while len(self._nodes) > number:
            self.cluster.remove_node(self._nodes.pop(), allow_graceful=False)
        while len(self._nodes) < number:
            self._nodes.append(self.cluster.add_node(**NODE, wait=False))


def undisturbed(folder: Path, nodes: Nodes, workers: int, seconds: float) -> float:
    """Rows a second with so many workers all the time, after the first epoch."""
    nodes.be(workers)
    with training(folder, nodes.cluster.address, str(workers)) as rows:
        first, started = rows.rows, time.monotonic()
        while time.monotonic() - started < seconds:
            time.sleep(POLL_S)
            rows.look()
        return (rows.rows - first) / (time.monotonic() - started)


def disturbed(folder: Path, nodes: Nodes, plan: list[int], every: float) -> list[float]:
    """Rows of each period."""
    nodes.be(plan[0])
    found = []
    with training(folder, nodes.cluster.address, f"[1,{MOST}]") as rows:
        for number in plan:
            before, started = rows.look(), time.monotonic()
            nodes.be(number)
            while time.monotonic() - started < every:
                time.sleep(POLL_S)
                rows.look()
            found.append(float(rows.rows - before))
            print(f"| {number} | {found[-1]:,.0f} | {found[-1] / every:.0f} |", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=300.0, help="seconds of a period")
    parser.add_argument("--periods", type=int, default=6)
    parser.add_argument("--alone", type=float, default=60.0, help="seconds of each undisturbed training")
    chosen = parser.parse_args()
    from ray_jobs.on_ray.session import ENVIRONMENT, LOCAL

    for key, value in (ENVIRONMENT | LOCAL | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}).items():
        os.environ.setdefault(key, value)
    plan = schedule(chosen.seed, chosen.periods)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder)
        nodes = Nodes()
        try:
            rate = {n: [undisturbed(folder, nodes, n, chosen.alone)] for n in sorted(set(plan))}
            print("| workers | rows | rows/s |\n|---|---|---|", flush=True)
            rows = disturbed(folder, nodes, plan, chosen.every)
            for n in rate:
                rate[n].append(undisturbed(folder, nodes, n, chosen.alone))  # before and after: the machine drifts
        finally:
            nodes.cluster.shutdown()
    shares = []
    for which in (0, 1):
        expected = sum(rate[n][which] * chosen.every for n in plan)
        shares.append(sum(rows) / expected)
    print("undisturbed rows/s:", {n: [round(one) for one in both] for n, both in rate.items()})
    each = sorted(found / (sum(rate[n]) / 2 * chosen.every) for n, found in zip(plan, rows, strict=True))
    print(f"share of undisturbed: {sum(shares) / 2:.3f} (against those before {shares[0]:.3f}, after {shares[1]:.3f}; "
          f"of the periods {each[0]:.2f} to {each[-1]:.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
