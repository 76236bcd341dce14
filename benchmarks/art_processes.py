"""The parts of benchmarks/art.py that start processes: Ray actors, and one process for each number of rows."""

# ruff: noqa: B023 - what is compared is called in the same turn of the loop
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from art_timing import Table, ratio, rounds

from csrms_dist.art import FuzzyART, ShardedART, SphericalART


def actors(given: argparse.Namespace) -> Table:
    """One against two Ray actors: a whole fit, and its passes over all rows alone."""
    from ray_jobs.on_ray.actors import ActorPool
    from ray_jobs.on_ray.session import ray_session

    class Timed(ActorPool):
        """Adds up what the assignment passes take."""

        passes = 0.0

        def map(self, function: Any, tasks: Any, after: Any = lambda number: None) -> Any:
            started = time.perf_counter()
            done = super().map(function, tasks, after)
            self.passes += (time.perf_counter() - started) * (function.__name__ == "assign")
            return done

    found: Table = []
    with tempfile.TemporaryDirectory() as folder, ray_session(3):
        for kind, path, estimator in _files(Path(folder), given.actor_rows, 512, given.kinds):
            pools = {n: Timed(n) for n in (1, 2)}
            passes: dict[int, list[float]] = {n: [] for n in pools}

            def run(n: int, path: Path = path, estimator: Any = estimator) -> None:
                pools[n].passes = 0.0
                ShardedART(estimator, executor=pools[n]).fit(path)
                passes[n].append(pools[n].passes)

            for n in pools:
                run(n)
                passes[n].clear()
            taken = rounds({str(n): lambda n=n: run(n) for n in pools}, given.rounds)  # type: ignore[misc]
            whole, alone = ratio(taken["1"], taken["2"]), ratio(passes[1], passes[2])
            found.append(
                {
                    "kind": kind, "rows": given.actor_rows, "seconds with one": min(taken["1"]),
                    "whole fit": whole["ratio"], "low": whole["low"], "high": whole["high"],
                    "assignment": alone["ratio"],
                }
            )  # fmt: skip
            for pool in pools.values():
                pool.close()
    return found


def _files(folder: Path, n: int, dimension: int, kinds: list[str]) -> Iterator[tuple[str, Path, Any]]:
    """Prepared rows on disk, written in pieces: (kind, file, estimator)."""
    draw = np.random.default_rng(0)
    middle = draw.normal(size=(200, dimension)).astype(np.float32)
    for kind, dtype, estimator in (("spherical", np.int8, SphericalART(0.35)), ("fuzzy", np.uint8, FuzzyART(0.8))):
        if kind not in kinds:
            continue
        path = folder / f"{kind}.npy"
        out = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), (n, dimension))
        for start in range(0, n, 65536):
            stop = min(n, start + 65536)
            rows = middle[draw.integers(0, 200, stop - start)]
            rows += np.float32(0.6) * draw.standard_normal(rows.shape, np.float32)
            if dtype is np.int8:
                out[start:stop] = np.clip(np.rint(30 * rows), -127, 127)
            else:
                out[start:stop] = np.clip(np.rint(128 + 32 * rows), 0, 255)
        out.flush()
        yield kind, path, estimator


_ONE = """
import json, sys, threading, time
from pathlib import Path
import numpy as np
from csrms_dist.art import FuzzyART, ShardedART, SphericalART
kind, path, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
peak = [0]
def watch():
    while True:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                peak[0] = max(peak[0], int(line.split()[1]) * 1024)
        time.sleep(0.05)
threading.Thread(target=watch, daemon=True).start()
from csrms_dist.art.two_level.executors import SerialExecutor, ThreadExecutor
executor = ThreadExecutor(threads) if threads > 1 else SerialExecutor()
estimator = SphericalART(0.35) if kind == "spherical" else FuzzyART(0.8)
ShardedART(estimator, executor=executor).fit(np.load(path, mmap_mode="r")[:3000])  # compiles
started = time.perf_counter()
found = ShardedART(estimator, executor=executor).fit(path)
print(json.dumps([time.perf_counter() - started, peak[0] / 1e6, len(found.sizes_)]))
"""


def scale(given: argparse.Namespace) -> Table:
    """Time and peak private memory against the number of rows, 512 columns, 20,000 learnt."""
    found: Table = []
    where = given.folder or tempfile.gettempdir()
    for n in given.rows:
        with tempfile.TemporaryDirectory(dir=where) as folder:
            for kind, path, _ in _files(Path(folder), n, 512, given.kinds):
                said = subprocess.run(
                    [sys.executable, "-c", _ONE, kind, str(path), str(given.threads)],
                    check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
                )  # fmt: skip
                seconds, peak, patterns = json.loads(said.stdout)
                found.append({"kind": kind, "rows": n, "patterns": patterns, "seconds": seconds, "peak MB": peak})
                print(found[-1], file=sys.stderr)
                path.unlink()
    for kind in ("spherical", "fuzzy"):
        some = [row for row in found if row["kind"] == kind and row["rows"] >= 100_000]
        if len(some) > 1:
            n, seconds = np.array([row["rows"] for row in some]), np.array([row["seconds"] for row in some])
            each, fixed = np.polyfit(n, seconds, 1, w=1 / seconds)
            exponent = float(np.polyfit(np.log(n), np.log(seconds), 1)[0])
            found.append(
                {
                    "kind": kind,
                    "rows": 0,
                    "exponent": exponent,
                    "fixed s": float(fixed),
                    "s a million": 1e6 * float(each),
                }
            )
    return found
