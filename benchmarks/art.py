"""How fast and how good is ART? Against artlib, plain NumPy and scikit-learn's k-means, on one thread.

    python benchmarks/art.py fit                 # spherical ART against KMeans and MiniBatchKMeans: time and AMI
    python benchmarks/art.py fit --run runs/cifar            # the same on the features of a run
    python benchmarks/art.py scalings            # algorithms and scalings of a run's clustering: AMI and purity
    python benchmarks/art.py grain               # groups planted in vectors: are they found, and are numbers hit?
    python benchmarks/art.py learn               # Fuzzy ART against artlib and a vectorised NumPy reference
    python benchmarks/art.py assign              # frozen assignment against a bare float32 product and the raw kernels
    python benchmarks/art.py actors              # one against two Ray actors, of one assignment and of a whole fit
    python benchmarks/art.py scale --rows 10000 100000 1000000 10000000

Every part prints a table; --json PATH writes the figures. What is compared runs in turn within one process, round after
round; the minimum of the rounds counts, and the spread is that of the rounds' ratios. `scale` runs each size in a
process of its own and notes its peak private memory (RssAnon); the exponent is the slope of log time against log rows.
"""

# ruff: noqa: B023 - what is compared is called in the same turn of the loop
from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from art_grain import grain
from art_processes import actors, scale
from art_timing import Table, ratio, rounds
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_mutual_info_score
from threadpoolctl import threadpool_limits

from csrms_dist.art import FuzzyART, ShardedART, SphericalART, SphericalKMeans, cluster
from csrms_dist.art.fuzzy import algorithm as fuzzy_art
from csrms_dist.art.fuzzy.absolute_differences import padded, pairs
from csrms_dist.art.scaling import MinMaxScaling, SphericalScaling
from csrms_dist.art.settings import ClusterSettings
from csrms_dist.art.spherical import algorithm as spherical_art
from csrms_dist.art.spherical import int8_products
from csrms_dist.art.spherical.estimator import unit_rows
from csrms_dist.art.spherical.vector_code import PATHS, SETS, TILE_ROWS, tile
from csrms_dist.art.two_level.vigilance import bisect
from csrms_dist.basics.arrays import Matrix
from csrms_dist.features.feature_table import FeatureTable


def planted(n: int, dimension: int, centres: int, noise: float, seed: int = 0) -> tuple[Matrix, Matrix]:
    """Rows around random centres, float32 (n, D), and the centre of each."""
    draw = np.random.default_rng(seed)
    middle = draw.normal(size=(centres, dimension)).astype(np.float32)
    label = draw.integers(0, centres, n)
    rows = middle[label]
    rows += np.float32(noise) * draw.standard_normal((n, dimension), np.float32)
    return rows, label


def purity(pattern: Matrix, label: Matrix) -> float:
    table = np.zeros((int(pattern.max()) + 1, int(label.max()) + 1), np.int64)
    np.add.at(table, (pattern, label), 1)
    return float(table.max(axis=1).sum() / len(label))


def vigilance_for(rows: Matrix, patterns: int, fit: Callable[[Matrix, float], int]) -> float:
    """The vigilance that gives about so many categories."""
    return bisect(lambda rho: (fit(rows, rho), False), patterns)[0]


# ------------------------------------------------------------------------------------------------------------ spherical


def sets(run: str | None) -> dict[str, tuple[Matrix, Matrix, int]]:
    """Feature sets by name: (rows, labels, patterns)."""
    if run:
        table = FeatureTable.load(Path(run) / "features")
        if table.membership is None:
            raise SystemExit(f"{run}: features without labels")
        label = np.asarray(table.membership.indices[table.membership.indptr[:-1]])
        return {Path(run).name: (np.asarray(table.vectors[:20_000]), label[:20_000], 120)}
    digits = load_digits(return_X_y=True)
    return {
        "digits": (digits[0].astype(np.float32), digits[1], 120),
        "planted 60": (*planted(20_000, 64, 60, 0.6), 120),
        "planted 300": (*planted(20_000, 64, 300, 0.9), 120),
    }


def fit(given: argparse.Namespace) -> Table:
    """Whole fits at equal numbers of clusters: seconds, AMI and purity. int8 rows; k-means gets them as float32."""
    found: Table = []
    for name, (x, label, patterns) in sets(given.run).items():
        q = SphericalScaling.fit(x).transform_block(x)
        wide = q.astype(np.float32)
        units = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-9)
        rho = vigilance_for(q, patterns, lambda rows, rho: len(SphericalART(rho).fit(rows).counts_))
        sharded = ShardedART(SphericalART(), n_patterns=patterns, min_size=3).fit(q)
        fixed = SphericalART(sharded.vigilance_)
        j = len(sharded.sizes_)
        contenders: dict[str, Callable[[], Any]] = {
            "SphericalART, int8": lambda: SphericalART(rho).fit(q),
            "SphericalART, float32": lambda: SphericalART(rho).fit(units),
            "ShardedART, int8": lambda: ShardedART(fixed, min_size=3).fit(q),
            "ShardedART, 4 recentrings": lambda: ShardedART(fixed, min_size=3, recentre=4).fit(q),
            "SphericalKMeans": lambda: SphericalKMeans(j).fit(q),
            "KMeans": lambda: KMeans(j, n_init=1, random_state=0).fit(units),
            "MiniBatchKMeans": lambda: MiniBatchKMeans(j, n_init=1, random_state=0).fit(units),
        }
        results = {contender: work() for contender, work in contenders.items()}  # compiles, and gives the labels
        taken = rounds(contenders, given.rounds)
        for contender, estimator in results.items():
            labels = np.maximum(estimator.labels_, 0)
            found.append(
                {
                    "set": name, "rows": len(q), "dimension": q.shape[1], "contender": contender,
                    "clusters": len(np.unique(labels)), "seconds": min(taken[contender]),
                    "faster than KMeans": ratio(taken["KMeans"], taken[contender])["ratio"],
                    "than MiniBatch": ratio(taken["MiniBatchKMeans"], taken[contender])["ratio"],
                    "AMI": float(adjusted_mutual_info_score(label, labels)), "purity": purity(labels, label),
                }
            )  # fmt: skip
    return found


# ---------------------------------------------------------------------------------------------------------------- fuzzy


class VectorisedFuzzy:
    """Fuzzy ART in float64, a row at a time, all categories at once."""

    def __init__(self, vigilance: float, choice: float = 0.01, rate: float = 0.5) -> None:
        self.vigilance, self.choice, self.rate = vigilance, choice, rate
        self.weights, self.used = np.empty((64, 0)), 0

    def partial_fit(self, codes: Matrix) -> VectorisedFuzzy:
        if not self.used:
            self.weights = np.empty((64, codes.shape[1]))
        least = self.vigilance * codes.shape[1] / 2
        for row in codes:
            known = self.weights[: self.used]
            common = np.minimum(row, known).sum(axis=1)
            value = np.where(common >= least, common / (self.choice + known.sum(axis=1)), -1.0)
            best = self.used - 1 - int(np.argmax(value[::-1])) if self.used else -1
            if self.used and value[best] >= 0:
                known[best] = self.rate * np.minimum(row, known[best]) + (1 - self.rate) * known[best]
                continue
            if self.used == len(self.weights):
                self.weights = np.concatenate([self.weights, np.empty_like(self.weights)])
            self.weights[self.used] = row
            self.used += 1
        return self


def learn(given: argparse.Namespace) -> Table:
    """Rows a second of learning that goes on from about so many categories, the same for all contenders."""
    found: Table = []
    for dimension in given.dimensions:
        x, _ = planted(given.learn_rows + given.more, dimension, 300, 0.8)
        q = MinMaxScaling.fit(x).transform_block(x)
        floats = (q / 255).astype(np.float32)
        codes = np.concatenate([floats, 1 - floats], axis=1).astype(np.float64)
        before, more, few = (slice(0, given.learn_rows), slice(given.learn_rows, None), slice(-given.few, None))
        for patterns in given.patterns:
            rho = vigilance_for(q[before], patterns, lambda rows, rho: len(FuzzyART(rho).fit(rows).counts_))
            starts: dict[str, tuple[Any, Matrix]] = {
                "uint8": (FuzzyART(rho).fit(q[before]), q[more]),
                "float32": (FuzzyART(rho).fit(floats[before]), floats[more]),
                "vectorised NumPy": (VectorisedFuzzy(rho).partial_fit(codes[before]), codes[few]),
            }
            if (theirs := _artlib(rho)) is not None:
                starts["artlib"] = (theirs.fit(codes[before]), codes[few])
            taken: dict[str, list[float]] = {name: [] for name in starts}
            for _ in range(given.rounds):
                for name, (start, rows) in starts.items():
                    model = copy.deepcopy(start)
                    started = time.perf_counter()
                    model.partial_fit(rows)
                    taken[name].append(time.perf_counter() - started)
            speed = {name: len(rows) / min(taken[name]) for name, (_, rows) in starts.items()}
            for name in starts:
                found.append(
                    {
                        "dimension": dimension, "categories": len(starts["uint8"][0].counts_), "contender": name,
                        "rows a second": speed[name], "x NumPy": speed[name] / speed["vectorised NumPy"],
                        "x artlib": speed[name] / speed["artlib"] if "artlib" in speed else None,
                    }
                )  # fmt: skip
    return found


def _artlib(rho: float) -> Any:
    """artlib's FuzzyART, or None where it is not installed."""
    try:
        from artlib import FuzzyART as Theirs
    except ImportError:
        print("artlib is not installed: pip install artlib", file=sys.stderr)
        return None
    return Theirs(rho=rho, alpha=0.01, beta=0.5)


def scalings(given: argparse.Namespace) -> Table:
    """A run's clustering of features at equal numbers of patterns: algorithms, scalings, re-centring."""
    found: Table = []
    for name, (x, label, patterns) in sets(given.run).items():
        for options in (
            {"algorithm": "spherical", "recentre": 0},
            {"algorithm": "spherical", "recentre": 4},
            {"algorithm": "kmeans"},
            {"algorithm": "fuzzy", "scaling": "min_max", "recentre": 0},
            {"algorithm": "fuzzy", "scaling": "clipped_min_max", "recentre": 0},
            {"algorithm": "fuzzy", "scaling": "min_max", "recentre": 3},
            {"algorithm": "fuzzy", "scaling": "clipped_min_max", "recentre": 3},
            {"algorithm": "fuzzy", "adaptation": "hi", "recentre": 0},
        ):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "vectors.npy"
                np.save(path, x)
                ids = [f"row{n}" for n in range(len(x))]
                settings = ClusterSettings.from_mapping({"n_patterns": patterns, **options})
                result = cluster(path, ids, settings, None, Path(folder) / "work")
            found.append(
                {
                    "set": name, **options, "patterns": result.n_patterns, "vigilance": result.vigilance,
                    "AMI": float(adjusted_mutual_info_score(label, result.pattern)),
                    "purity": purity(result.pattern, label), "largest": float(result.sizes()[0] / len(x)),
                }
            )  # fmt: skip
    return found


# --------------------------------------------------------------------------------------------------- frozen assignment


def assign(given: argparse.Namespace) -> Table:
    """Rows a second of the frozen pass, and its share of a bare float32 product of the same shapes."""
    found: Table = []
    draw = np.random.default_rng(0)
    for dimension in given.dimensions:
        n = max(8192, min(100_000, 50_000_000 // dimension))
        q = draw.integers(-127, 128, (n, dimension)).astype(np.int8)
        points = draw.integers(0, 256, (n, dimension)).astype(np.uint8)
        wide = q.astype(np.float32)
        for patterns in given.patterns:
            p = draw.integers(-127, 128, (patterns, dimension)).astype(np.int8)
            corner = draw.integers(0, 200, (patterns, dimension))
            boxes = np.concatenate([corner, 255 - corner - draw.integers(0, 56, corner.shape)], axis=1).astype(np.uint8)
            turned = np.ascontiguousarray(p.T.astype(np.float32))
            model = SphericalART(0.0).fit(p[:1].astype(np.float32))
            model.prototypes_ = unit_rows(p)
            contenders: dict[str, Callable[[], Any]] = {
                "float32 product": lambda: _product(wide, turned),
                "spherical, float32": lambda: model.predict(wide),
                "spherical, int8": lambda: spherical_art.assign(q, p),
                "fuzzy, uint8": lambda: fuzzy_art.assign_points(points, boxes, 0.0),
                "raw L1 distances, uint8": lambda: _raw_differences(boxes, n),
            }
            if PATHS[0] != "portable":
                contenders["raw products, int8"] = lambda: _raw_products(p, n)
            for work in contenders.values():
                work()
            taken = rounds(contenders, given.rounds)
            for name in contenders:
                found.append(
                    {
                        "dimension": dimension, "patterns": patterns, "contender": name,
                        "rows a second": n / min(taken[name]),
                        "x float32 product": ratio(taken["float32 product"], taken[name])["ratio"],
                    }
                )  # fmt: skip
    return found


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _products(table: Any, rows: Any, n: int, dots: Any) -> None:
    for _ in range(0, n, len(rows)):
        for t in range(table.start.shape[0]):
            for i in range(0, len(rows), TILE_ROWS):
                tile(table, t, rows, i, dots, None, None)


def _raw_products(p: Matrix, n: int) -> None:
    """The instructions of the product alone: the same 32 rows again and again, no winner."""
    simd = SETS[PATHS[0]]
    table = int8_products.packed(p, simd)[0]
    rows = np.zeros((32, table.values.shape[1] * simd.columns), simd.row_type)
    _products(table, rows, n, np.empty((32, table.start.size), np.int32))


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _differences(rows: Any, categories: Any, n: int, table: Any) -> None:
    for _ in range(0, n, len(rows)):
        pairs(rows, len(rows), categories, 0, len(categories), table)


def _raw_differences(boxes: Matrix, n: int) -> None:
    """The sums of absolute differences alone: the same 128 rows again and again, no winner."""
    rows, categories = padded(np.zeros((128, boxes.shape[1]), np.uint8)), padded(boxes)
    _differences(rows, categories, n, np.empty((128, len(categories)), np.int32))


def _product(wide: Matrix, turned: Matrix) -> None:
    """The product alone, in blocks that stay in the cache."""
    out = np.empty((1024, turned.shape[1]), np.float32)
    for start in range(0, len(wide) - 1023, 1024):
        np.matmul(wide[start : start + 1024], turned, out=out)


PARTS = {
    "fit": fit, "scalings": scalings, "grain": grain, "learn": learn, "assign": assign, "actors": actors,
    "scale": scale,
}  # fmt: skip


def show(table: Table) -> None:
    """Print rows of equal columns."""
    names = list(dict.fromkeys(name for row in table for name in row))
    lines = [names, *([_text(row.get(name)) for name in names] for row in table)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(names))]
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--run", help="fit: the features of this run in the place of the built-in sets")
    parser.add_argument("--dimensions", nargs="+", type=int, default=[64, 512, 768])
    parser.add_argument("--patterns", nargs="+", type=int, default=[50, 350, 450, 2000])
    parser.add_argument("--learn-rows", type=int, default=10_000, help="learn: rows that make the categories")
    parser.add_argument("--more", type=int, default=20_000, help="learn: rows that are timed")
    parser.add_argument("--few", type=int, default=1000, help="learn: how many of these the slow contenders get")
    parser.add_argument("--actor-rows", type=int, default=500_000, help="actors: rows")
    parser.add_argument("--rows", nargs="+", type=int, default=[10_000, 100_000, 1_000_000], help="scale: rows")
    parser.add_argument("--kinds", nargs="+", default=["spherical", "fuzzy"], help="actors, scale: which")
    parser.add_argument("--threads", type=int, default=1, help="scale: threads")
    parser.add_argument("--folder", help="scale: where the rows are written (10 million take 5 GB)")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with threadpool_limits(1):
        table = PARTS[given.part](given)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}")
    show(table)
    if given.json:
        given.json.write_text(json.dumps({"part": given.part, "table": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
