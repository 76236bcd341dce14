"""How long does the sampler take? On one thread, over hierarchies made up for it.

    python benchmarks/sampler.py candidates                        # candidates of both edge types, default strategies

Every part prints a table; --json PATH writes the figures. Seconds are those of the processor, so that other work beside
it counts for little; the slope is that of log time against log rows.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from csrms_dist.hierarchy.build import hierarchy_of
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling import write_candidates
from csrms_dist.sampling.settings import SamplingSettings

N_CLASSES, N_PATTERNS, DIMENSION = 172, 2000, 64
KINDS = {
    "even": "classes and patterns of equal size, a fifth of the images in another class's pattern",
    "pure": "the same, but no image in another class's pattern",
    "class": "half of the images are of one class",
    "pattern": "half of the images are in one pattern",
    "both": "the same half",
}


def made(n: int, kind: str) -> tuple[HierarchyGraph, Any]:
    """A hierarchy of n rows, and features (n, 64) around the middles of its patterns."""
    draw = np.random.default_rng(0)
    label = draw.integers(0, N_CLASSES, n)
    half = draw.random(n) < 0.5
    if kind in {"class", "both"}:
        label[half] = 0
    pattern = label + N_CLASSES * draw.integers(0, N_PATTERNS // N_CLASSES, n)
    if kind != "pure":
        pattern = np.where(draw.random(n) < 0.8, pattern, draw.integers(0, N_PATTERNS, n))
    if kind in {"pattern", "both"}:
        pattern[half] = 0
    pattern = np.unique(pattern, return_inverse=True)[1]
    features = draw.standard_normal((int(pattern.max()) + 1, DIMENSION), np.float32)[pattern]
    features += draw.standard_normal((n, DIMENSION), np.float32)
    return hierarchy_of(pattern, label), features


def candidates(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds of writing the candidates of each edge type, and how they grow with the rows."""
    table = []
    settings = SamplingSettings(asked.positives, asked.negatives)
    write(1000, "even", settings)  # compiles
    for kind in asked.kinds:
        seconds: dict[int, float] = {}
        for n in asked.rows:
            taken = write(n, kind, settings)
            seconds[n] = taken["positive"] + taken["negative"]
            table.append({"kind": kind, "rows": n, **taken})
            print(json.dumps(table[-1]), flush=True)
        if len(seconds) > 1:
            slope = np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0]
            table.append({"kind": kind, "slope": float(slope)})
            print(json.dumps(table[-1]), flush=True)
    return table


def write(n: int, kind: str, settings: SamplingSettings) -> dict[str, float]:
    """Processor seconds of each edge type, and by how many MB the private memory rose over that of the data."""
    graph, features = made(n, kind)
    taken, before = {}, private_mb()
    peak, done = [before], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], private_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for edge_type in ("positive", "negative"):
        with tempfile.TemporaryDirectory() as folder:
            started = time.process_time()
            write_candidates(Path(folder), graph, features, settings, edge_types=[edge_type])
            taken[edge_type] = time.process_time() - started
    done.set()
    watcher.join()
    return {**taken, "rise MB": peak[0] - before}


def private_mb() -> float:
    """RssAnon of this process."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("candidates", help="; ".join(f"{kind}: {said}" for kind, said in KINDS.items()))
    part.add_argument("--rows", type=int, nargs="+", default=[200_000, 1_000_000])
    part.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    part.add_argument("--positives", default=SamplingSettings().positives)
    part.add_argument("--negatives", default=SamplingSettings().negatives)
    part.set_defaults(run=candidates)
    for one in parts.choices.values():
        one.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with threadpool_limits(1):
        table = asked.run(asked)
    if asked.json:
        asked.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
