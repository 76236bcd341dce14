"""How do clustering, graph, candidates and sampling grow with the images? Time and memory, fitted, up to a billion.

    python benchmarks/scale.py --rows 100000 1000000 10000000 --out scale.jsonl --folder /somewhere/large
    python benchmarks/scale.py --fit scale.jsonl                       # of figures that are there already

Rows are planted: each belongs to one of 2,000 groups around a random direction in 64 dimensions, with 1 to 4 of 172
classes, most of which its group prefers. They go through the library's own phases, in one process and on one thread of
torch: clustering to patterns (AMI with the groups is printed, on a sample), the hierarchy and its publication to the
embedded graph database, its export to a snapshot, candidates of both edge types, and batches of 1,024 anchors. Seconds
are the processor's, which other work on the machine lengthens little. A phase's memory is its peak of RssAnon, of the
largest process, the planted labels included: memory-mapped files do not count.

The fit: seconds = a N^b by least squares on logarithms, of what took .1 s or more; of memory the bytes that a row adds
between the smallest and the largest size, for the libraries alone hold 500 MB. What they give at a
billion is an extrapolation over two decades, for one machine and one process: it says which phase is the bottleneck.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from graph_stores import peak_memory
from scipy import sparse
from sklearn.metrics import adjusted_mutual_info_score

from csrms_dist.art.patterns import cluster
from csrms_dist.art.settings import ClusterSettings
from csrms_dist.artefacts.files import NpyWriter
from csrms_dist.hierarchy import snapshot
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.sampling import ReferenceSampler, load_candidates
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.sampling.write import write_candidates
from graphstore.embedded.store import EmbeddedStore
from graphstore.store import Publication, Repeated

GROUPS, CLASSES, DIMENSION, SEED, BLOCK, SAMPLE = 2_000, 172, 64, 0, 1 << 16, 100_000
ANCHORS, BATCHES, WARM_UP = 1024, 50, 5_000
BILLION = 10**9


def planted(folder: Path, rows: int) -> tuple[Path, np.ndarray, Any]:
    """(features in a file (N, 64) float32, group (N,), membership (N, 172))."""
    draw = np.random.default_rng(SEED)
    group = draw.integers(0, GROUPS, rows)
    centres = draw.normal(size=(GROUPS, DIMENSION)).astype(np.float32)
    path = folder / "vectors.npy"
    with NpyWriter(path, np.float32, (rows, DIMENSION)) as file:
        for start in range(0, rows, BLOCK):
            some = centres[group[start : start + BLOCK]]
            file.put(start, some + 0.5 * draw.standard_normal(some.shape, np.float32))
    near = draw.integers(0, CLASSES, (GROUPS, 6))
    labels = near[group[:, None], draw.integers(0, 6, (rows, 4))]
    labels[:, 0] = np.where(draw.random(rows) < 0.7, near[group, 0], labels[:, 0])
    chosen = np.arange(4)[None, :] < draw.integers(1, 5, rows)[:, None]
    index = np.repeat(np.arange(rows), chosen.sum(axis=1))
    membership = sparse.csr_array((np.ones(len(index), np.uint8), (index, labels[chosen])), shape=(rows, CLASSES))
    membership.sum_duplicates()
    membership.data[:] = 1
    return path, group, membership


def measured(rows: int, folder: Path, say: Callable[[dict[str, Any]], None]) -> None:
    """All phases at one number of rows."""
    path, group, membership = planted(folder, rows)
    ids = pc.binary_join_element_wise("image", pc.cast(pa.array(np.arange(rows)), pa.string()), "-")

    def phase(name: str, work: Callable[[], Any], **more: Any) -> Any:
        with peak_memory() as peak:
            begun, used = time.perf_counter(), processor()
            found = work()
            seconds, used = time.perf_counter() - begun, processor() - used
        figures = {"seconds": round(used, 3), "elapsed": round(seconds, 3), "peak_mb": round(peak[0])}
        say({"rows": rows, "phase": name, **figures, **more})
        return found

    settings = ClusterSettings(n_patterns=GROUPS)
    clustering = phase("cluster", lambda: cluster(path, ids, settings, CLASSES, folder / "work"))
    some = np.random.default_rng(SEED).integers(0, rows, min(rows, SAMPLE))
    ami = adjusted_mutual_info_score(group[some], clustering.pattern[some])
    say({"rows": rows, "patterns": clustering.n_patterns, "ami_with_the_groups": round(float(ami), 4)})

    sampling = SamplingSettings()
    graph = phase("hierarchy", lambda: build_hierarchy(
        clustering.pattern, clustering.score, membership, np.arange(rows), dominance_threshold=0.6,
        n_positives=sampling.n_positives, multi_label=True,
    ))  # fmt: skip
    publication = Publication(
        dataset="planted", content_hash="0" * 16, class_names=[f"class {c}" for c in range(CLASSES)], ids=ids,
        split=Repeated("train", rows), uris=Repeated("", rows), hierarchy=graph, fingerprint="a" * 32, params={},
        vigilance=clustering.vigilance, features_uri="features", prototypes_uri="prototypes", created_ms=1,
    )  # fmt: skip
    with EmbeddedStore(folder / "store") as store:
        key = phase("publish", lambda: store.publish(publication))
        phase("export", lambda: snapshot.save(store.export(key), folder / "snapshot"))
    drawn(rows, folder, path, phase)


def drawn(rows: int, folder: Path, path: Path, phase: Callable[..., Any]) -> None:
    """Candidates and batches, of what was stored."""
    graph, sampling = snapshot.load(folder / "snapshot"), SamplingSettings()
    vectors = np.load(path, mmap_mode="r")
    phase("candidates", lambda: write_candidates(folder / "candidates", graph, vectors, sampling))
    sizes = {"positive": sampling.n_positives, "negative": sampling.n_negatives}
    sampler = ReferenceSampler(load_candidates(folder / "candidates"), sizes, SEED)
    draw = np.random.default_rng(SEED)
    anchors = [draw.integers(0, rows, ANCHORS) for _ in range(BATCHES)]
    sampler.sample(anchors[0], 0)
    phase(
        "sampling", lambda: [sampler.sample(some, 1) for some in anchors], batches=BATCHES,
        note="of so many batches of 1,024 anchors; an epoch has rows / 1,024",
    )  # fmt: skip


def processor() -> float:
    """Seconds of the processor so far, of this process and of those that it has waited for."""
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


def fitted(figures: list[dict[str, Any]]) -> list[str]:
    """Lines of a table: exponents, and what they give at a billion rows."""
    lines = [
        "| phase | seconds | exponent | at 10^9 | peak MB | bytes a row | at 10^9 |",
        "|---|---|---|---|---|---|---|",
    ]
    phases = list(dict.fromkeys(row["phase"] for row in figures if "phase" in row))
    ends: dict[str, tuple[float, float]] = {}
    for name in phases:
        rows = sorted((row for row in figures if row.get("phase") == name), key=lambda row: row["rows"])
        n = np.array([row["rows"] for row in rows], float)
        epochs = [row["rows"] / (ANCHORS * row["batches"]) if "batches" in row else 1.0 for row in rows]
        times = np.array([row["seconds"] for row in rows]) * epochs
        memory = np.array([row["peak_mb"] for row in rows], float)
        b, end = _power(n, times, 0.1)
        row, most = _slope(n, memory)
        ends[name] = end, most
        each = [", ".join(f"{value:,.1f}" for value in times), ", ".join(f"{value:,.0f}" for value in memory)]
        far = [f"{b:.2f} | {end / 3600:,.1f} h", f"{1e6 * row:,.0f} | {most / 1000:,.0f} GB"]
        lines.append(f"| {name} | {each[0]} | {far[0]} | {each[1]} | {far[1]} |")
    slowest, largest = max(ends, key=lambda name: ends[name][0]), max(ends, key=lambda name: ends[name][1])
    lines += ["", f"Bottleneck of time: {slowest}. Bottleneck of memory: {largest}. (sampling: an epoch of all rows)"]
    return lines


def _power(n: np.ndarray, values: np.ndarray, least: float) -> tuple[float, float]:
    """Exponent of a N^b through the values that are not too small to be measured, and its value at a billion."""
    n, values = n[values >= least], values[values >= least]
    if not len(n):
        return 0.0, 0.0
    if len(n) < 2:
        return 1.0, float(values[-1] * BILLION / n[-1])
    b, a = np.polyfit(np.log(n), np.log(values), 1)
    return float(b), float(np.exp(a + b * np.log(BILLION)))


def _slope(n: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """MB a row between the smallest and the largest number of rows, for all else is there without any; at a billion."""
    seen = values > 0
    slope = (values[seen][-1] - values[seen][0]) / max(n[seen][-1] - n[seen][0], 1)
    return float(slope), float(slope * BILLION)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=int, default=[100_000, 1_000_000])
    parser.add_argument("--out", type=Path, help="a JSON line for each figure, as it is measured")
    parser.add_argument("--folder", type=Path, help="where files go; 10 million rows take 15 GB")
    parser.add_argument("--fit", type=Path, help="only fit the figures in this file")
    given = parser.parse_args()
    if given.fit:
        figures = [json.loads(line) for line in given.fit.read_text().splitlines()]
        sys.stdout.write("\n".join(fitted(figures)) + "\n")
        return
    torch.set_num_threads(1)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    facts = {"machine": f"{platform.machine()}, {platform.python_version()}", "commit": commit.stdout.strip()}
    figures = []

    def say(row: dict[str, Any]) -> None:
        figures.append(row)
        line = json.dumps(row | facts)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        if given.out:
            with given.out.open("a") as file:
                file.write(line + "\n")

    for number, rows in enumerate([WARM_UP, *given.rows]):
        folder = Path(tempfile.mkdtemp(prefix="scale-", dir=given.folder))
        try:
            measured(rows, folder, say if number else lambda row: None)  # the first compiles
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write("\n".join(fitted(figures)) + "\n")


if __name__ == "__main__":
    main()
