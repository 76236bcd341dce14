"""Benchmarks of the sampling of batches: CPU time of a batch beside DGL's uniform sampling, one thread, in turn.

    python benchmarks/sampler_batches.py [PART ...] [--rows 1000000 10000000] [--folder DIR]

Anchors have 40 candidates of each type (parts `batch` and `weighted`, with weights, as of several labels) or 20
(`scale`), made at random in memory-mapped files, all of whose pages were read before. 1,024 anchors, other ones for
every batch, get 10 of each type. The peer is dgl.sampling.sample_neighbors without weights, of one type, on the same
arrays. In each round each contender samples some batches in a row, of which the fastest counts: right after another
one's the peer, which does least, finds its code and tables out of the caches, and takes almost twice as long.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from art_timing import Table, ratio
from numpy.lib.format import open_memmap

from csrms_dist.basics.hashing import mix
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.csr import canonical_csr
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling import Candidates, ReferenceSampler, load_candidates
from csrms_dist.sampling.dgl_sampler import DglSampler

ANCHORS, DRAWN, CLASSES, PATTERNS = 1024, 10, 100, 1200
ROUNDS, BATCHES, BLOCK = 30, 5, 1 << 16
SIZES = {"positive": DRAWN, "negative": DRAWN}


def make_candidates(folder: Path, n_rows: int, pool: int, *, weights: bool) -> dict[str, Candidates]:
    """Candidates at random, block by block into files; then every page is read once."""
    kinds: dict[str, Any] = {"indptr": np.int64, "neighbours": np.int64, "priority": np.uint8}
    kinds |= {"weight": np.float32} if weights else {}
    for number, name in enumerate(SIZES):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for array, kind in kinds.items():
            length = n_rows + 1 if array == "indptr" else n_rows * pool
            out = open_memmap(folder / name / f"{array}.npy", mode="w+", dtype=kind, shape=(length,))
            for start in range(0, length, BLOCK * pool):
                at = np.arange(start, min(start + BLOCK * pool, length))
                if array == "indptr":
                    out[at] = at * pool
                elif array == "neighbours":
                    out[at] = mix(number, at) % np.uint64(n_rows)
                elif array == "priority":
                    out[at] = mix(number, 7, at) % np.uint64(2)
                else:
                    out[at] = 1 / (1 + (mix(number, 8, at) % np.uint64(4)).astype(np.float32))
    found = load_candidates(folder, tuple(SIZES))
    for some in found.values():
        for array in kinds:
            np.asarray(getattr(some, array)).sum(dtype=np.float64)
    return found


def make_hierarchy(n_rows: int) -> HierarchyGraph:
    rows = np.arange(n_rows)
    patterns, labels = (mix(word, rows) % np.uint64(n) for word, n in ((1, PATTERNS), (2, CLASSES)))
    membership = canonical_csr(
        np.ones(n_rows, np.uint8), labels.astype(np.int64), np.arange(n_rows + 1), (n_rows, CLASSES)
    )
    return build_hierarchy(
        patterns.astype(np.int32), np.ones(n_rows), membership, rows, dominance_threshold=0.5, n_positives=DRAWN,
        multi_label=False,
    )  # fmt: skip


def _one(work: Callable[[Any], Any], hashes: Any, n_rows: int) -> float:
    anchors = (hashes % np.uint64(n_rows)).astype(np.int64)
    started = time.process_time()
    work(anchors)
    return time.process_time() - started


def cpu_seconds(contenders: Mapping[Any, Callable[[Any], Any]], n_rows: Mapping[Any, int]) -> dict[Any, list[float]]:
    """CPU seconds of each contender in each round, one after the other; every batch is another."""
    taken: dict[Any, list[float]] = {name: [] for name in contenders}
    for number in range(-3, ROUNDS):  # three rounds to compile and to fill caches
        for place, (name, work) in enumerate(contenders.items()):
            burst = [_one(work, mix(number, place, at, np.arange(ANCHORS)), n_rows[name]) for at in range(BATCHES)]
            if number >= 0:
                taken[name].append(min(burst))
    return taken


def uniform(graph: Any, anchors: Any) -> Any:
    import dgl

    return dgl.sampling.sample_neighbors(graph, {"instance": torch.from_numpy(anchors)}, DRAWN)


def contenders(folder: Path, n_rows: int, pool: int, *, weights: bool = False) -> dict[str, Callable[[Any], Any]]:
    candidates = make_candidates(folder / f"{n_rows}-{pool}-{weights}", n_rows, pool, weights=weights)
    hierarchy = make_hierarchy(n_rows)
    dgl_sampler = DglSampler(candidates, SIZES, 0, hierarchy)
    reference = ReferenceSampler(candidates, SIZES, 0, hierarchy)
    peer = dgl_sampler.graph["instance", "positive", "instance"]
    return {
        "uniform, one type, DGL": partial(uniform, peer),
        "sample, DGL": lambda anchors: dgl_sampler.sample(anchors, 1),
        "sample, reference": lambda anchors: reference.sample(anchors, 1),
        "class_aware, DGL": lambda anchors: dgl_sampler.class_aware(anchors, 1),
        "class_aware, reference": lambda anchors: reference.class_aware(anchors, 1),
    }


def against_uniform(folder: Path, n_rows: int, pool: int, *, weights: bool = False) -> Table:
    work = contenders(folder, n_rows, pool, weights=weights)
    taken = cpu_seconds(work, dict.fromkeys(work, n_rows))
    base = taken["uniform, one type, DGL"]
    return [
        {"rows": n_rows, "pool": pool, "what": name, "ms": min(some) * 1e3, "median_ms": float(np.median(some)) * 1e3}
        | ratio(some, base)
        for name, some in taken.items()
    ]


def batch(folder: Path, rows: list[int]) -> Table:
    return against_uniform(folder, rows[0], 40)


def weighted(folder: Path, rows: list[int]) -> Table:
    return against_uniform(folder, rows[0], 40, weights=True)


def scale(folder: Path, rows: list[int]) -> Table:
    """Both sizes in the same rounds; ratio: of the larger to the smaller."""
    small, large = rows[0], rows[-1]
    work = {(name, n): some for n in (small, large) for name, some in contenders(folder, n, 20).items()}
    in_turn = sorted(work)  # the two sizes of one contender side by side
    taken = cpu_seconds({key: work[key] for key in in_turn}, {key: key[1] for key in in_turn})
    return [
        {"rows": large, "against": small, "what": name, "ms": min(taken[name, large]) * 1e3}
        | ratio(taken[name, large], taken[name, small])
        for name, n in in_turn
        if n == large
    ]


PARTS: dict[str, Callable[[Path, list[int]], Table]] = {"batch": batch, "weighted": weighted, "scale": scale}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--folder", type=Path, help="for files of 2 to 5 GB that are deleted afterwards")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for part in options.parts:
        folder = Path(tempfile.mkdtemp(dir=options.folder))
        try:
            for row in PARTS[part](folder, options.rows):
                print(part, {key: round(x, 3) if isinstance(x, float) else x for key, x in row.items()}, flush=True)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
