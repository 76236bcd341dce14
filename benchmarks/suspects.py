"""Are wrong labels and strange images found? On the features of a finished run of yours.

    python benchmarks/suspects.py runs/digits
    python benchmarks/suspects.py runs/mine --strange runs/others

A tenth of the labels (one an image) is changed at random and looked for by difficulty (CSRMS eq. 7) and by support.
--strange: a run on other images with the same encoder; images drawn from it are looked for among the run's own, by
their resemblance to the nearest pattern and by the distance that the flag is cut from.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.stats import rankdata

from csrms_dist.art.surroundings import Surroundings
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.arrays import Matrix
from csrms_dist.hierarchy.build import hierarchy_of
from csrms_dist.hierarchy.support import N_AROUND, support
from csrms_dist.labels import label_lists
from csrms_dist.run_contents import RunContents

WRONG = 0.1
LISTED = 100
STRANGE = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--strange", metavar="RUN")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    run = RunContents(RunDirectory(arguments.run))
    print(f"{run.clusters.n_patterns} patterns of {len(run.vectors):,} images")
    wrong_labels(run, arguments.seeds)
    if arguments.strange:
        strange_images(run, RunContents(RunDirectory(arguments.strange)))


def wrong_labels(run: RunContents, seeds: int) -> None:
    """Average precision, and precision among the first LISTED, of each order, mean over the seeds."""
    labels = [row[0] for row in label_lists(run.hierarchy.membership) if len(row) == 1]
    if len(labels) < len(run.vectors):
        print("wrong labels: not measured, for images have several labels or none")
        return
    found: dict[str, list[tuple[float, float]]] = {"difficulty": [], "support": []}
    own, n_classes = np.array(labels), run.hierarchy.n_classes
    for seed in range(seeds):
        draw = np.random.default_rng(seed)
        wrong = draw.random(len(own)) < WRONG
        given = np.where(wrong, (own + draw.integers(1, n_classes, len(own))) % n_classes, own)
        graph, score = hierarchy_of(run.clusters.pattern, given.tolist()), run.clusters.score
        around = Surroundings(run.clusters).of_rows(run.vectors, N_AROUND)
        least = support(around, graph.pattern, graph.membership, graph.counts, graph.sizes).support
        orders = {"difficulty": (score, -graph.difficulty), "support": (score, -graph.difficulty, least)}
        for name, keys in orders.items():
            hits = wrong[np.lexsort(keys)]
            precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
            found[name].append((float(precision[hits].mean()), float(hits[:LISTED].mean())))
    for name, values in found.items():
        average, first = np.mean(values, axis=0)
        print(f"wrong labels by {name:<11} average precision {average:.2f}, among the first {LISTED} {first:.2f}")


def strange_images(run: RunContents, other: RunContents) -> None:
    """How often a strange image has a higher figure than one of the run's own (AUROC), and how many are flagged."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(other.vectors))[:STRANGE])
    placed = run.outliers.place(np.asarray(other.vectors[chosen]), run.vectors, run.clusters)
    of_own = {"1 - resemblance": 1 - run.clusters.score, "distance": run.outliers.distance}
    of_strange = {"1 - resemblance": 1 - placed.score, "distance": placed.distance}
    for name, values in of_own.items():
        print(f"{len(chosen)} strange images by {name:<16} AUROC {auroc(of_strange[name], values):.2f}")
    strange, own = placed.outlier.mean(), run.outliers.outlier.mean()
    print(f"flagged: {strange:.1%} of the strange images, {own:.1%} of the run's own")


def auroc(high: Matrix, low: Matrix) -> float:
    ranks = rankdata(np.concatenate([high, low]))[: len(high)]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


if __name__ == "__main__":
    main()
