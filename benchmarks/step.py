"""What does a step of the method cost? Processor time an image, against plain cross-entropy at the same batch.

    python benchmarks/step.py                                  # LeNet-5, ResNet-18, and frozen features with an adapter
    python benchmarks/step.py --encoder lenet5 --profile       # where the time of one of them goes
    python benchmarks/step.py --encoder lenet5 --encoding unique

Each contender goes through one epoch of made-up images (32 x 32, ten classes, 120 patterns) in the training loop: feed,
sampling by DGL on the thread that makes batches, step, bank, prototypes and the report of the epoch. Counted is the
processor time of the whole process, all threads together, on one thread of torch. Contenders run in turn, round after
round; the minimum of the rounds counts, and the spread is that of the ratios. `frozen` reads a table of features
of 1,280 dimensions; both train the adapter and their heads on it.
"""

from __future__ import annotations

import argparse
import cProfile
import dataclasses
import json
import os
import platform
import pstats
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from art_timing import ratio

from csrms_dist.datasets.image_source import in_memory
from csrms_dist.datasets.image_table import ImageTable, write_image_table
from csrms_dist.encoders import Encoder, Normaliser, make_encoder
from csrms_dist.encoders.given import GivenFeatures
from csrms_dist.encoders.settings import MLP, NONE
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import LabelSpace
from csrms_dist.methods.known import part
from csrms_dist.methods.protocol import Task
from csrms_dist.methods.saved_model import ModelCard, make_model
from csrms_dist.sampling import Candidates, build_candidates
from csrms_dist.sampling.dgl_sampler import DglSampler
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.training.batches import TrainingData
from csrms_dist.training.inputs import FeatureInputs, ImageInputs
from csrms_dist.training.loop import fit
from csrms_dist.training.recipe import CONTROL, TRAIN, Recipe
from csrms_dist.training.settings import OptimiserSettings

FROZEN, DIMENSION, SIDE, CLASSES, PATTERNS, SEED = "frozen", 1280, 32, 10, 120, 0
ROWS = {"lenet5": 5120, "resnet18": 512, FROZEN: 5120}
LIMITS = {"lenet5": 1.3, "resnet18": 1.05, FROZEN: 3.0}
"""What a step of the method may cost, in steps of the control."""


@dataclasses.dataclass(frozen=True)
class MadeUp:
    """A hierarchy and features that no run has made: a `Structure`."""

    hierarchy: HierarchyGraph
    vectors: np.ndarray
    sampling: SamplingSettings
    ids: list[str]

    def candidates(self, edge_types: tuple[str, ...]) -> dict[str, Candidates]:
        found = build_candidates(self.hierarchy, self.vectors, self.sampling)
        return {kind: found[kind] for kind in edge_types}

    def artefact(self, stage: str) -> Path:
        raise NotImplementedError(stage)


def contenders(
    encoder: str, encoding: str | None, rows: int, batch: int, folder: Path
) -> Mapping[str, Callable[[], Any]]:
    """One epoch of the method and one of its control, by name."""
    draw, space = np.random.default_rng(SEED), LabelSpace(tuple(map(str, range(CLASSES))))
    pattern = np.arange(rows) % PATTERNS
    labels = np.where(draw.random(rows) < 0.8, pattern % CLASSES, draw.integers(0, CLASSES, rows))
    membership, ids = space.membership(labels.tolist()), [str(row) for row in range(rows)]
    recipe = Recipe(seed=SEED)
    if encoding is not None:
        recipe = dataclasses.replace(recipe, method=dataclasses.replace(recipe.method, encoding=encoding))
    graph = build_hierarchy(
        pattern, np.ones(rows), membership, np.arange(rows), dominance_threshold=0.6,
        n_positives=recipe.sampling.n_positives, multi_label=False,
    )  # fmt: skip
    settings = OptimiserSettings(batch_size=batch, lr=1e-3, warmup_epochs=0)
    if encoder == FROZEN:
        inputs: Any = FeatureInputs(_around(draw, pattern, DIMENSION))
    else:
        images = draw.integers(0, 256, (rows, SIDE, SIDE, 3), dtype=np.uint8)
        path = folder / "images.arrow"
        write_image_table(path, in_memory("made", space, ids, membership, ["train"] * rows, images, images.shape[1:]))
        inputs = ImageInputs(ImageTable(path), np.arange(rows), Normaliser([0.5] * 3, [0.5] * 3), "crop_flip", SEED)
    data = TrainingData(inputs, membership)

    def epoch(role: str) -> Callable[[], Any]:
        name, spec = recipe.spec(role)
        options = recipe.method.model_options(recipe.sampling) if role == TRAIN else {}
        card = ModelCard(
            encoder, (SIDE, SIDE, 3), (), (), space.class_names, name, options,
            adapter=MLP if encoder == FROZEN else NONE,
        )  # fmt: skip
        base: Encoder = GivenFeatures(DIMENSION) if encoder == FROZEN else make_encoder(encoder, card.image_shape, SEED)
        model = make_model(card, SEED, base)
        work = folder / role
        work.mkdir()
        task = Task(
            role=role, settings=recipe.method, sampling=recipe.sampling, seed=SEED, n_rows=rows,
            label_smoothing=0.0, labels_per_image=None, cluster=recipe.cluster, graph=recipe.graph, frozen=False,
            rank=0, work=work, device=torch.device("cpu"), sampler_type=DglSampler,
        )  # fmt: skip
        structure = MadeUp(graph, _around(draw, pattern, model.encoder.dimension), recipe.sampling, ids)
        built = part(spec.build)(model, structure, task)
        return lambda: fit(built.method, data, settings, n_images=rows, seed=SEED, sampler=built.sampler)

    return {"plain": epoch(CONTROL), "method": epoch(TRAIN)}


def _around(draw: np.random.Generator, pattern: np.ndarray, dimension: int) -> np.ndarray:
    """(N, D) float32 features around one centre a pattern, without a negative value, as after a ReLU."""
    centres = draw.normal(size=(PATTERNS, dimension)).astype(np.float32)
    noise = draw.standard_normal((len(pattern), dimension), np.float32)
    return np.maximum(centres[pattern] + noise, 0)


def measure(epochs: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of an epoch by contender, `rounds` of each, in turn; a first one of each is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in epochs}
    for round_ in range(rounds + 1):
        for name, epoch in epochs.items():
            before = time.process_time()
            epoch()
            if round_:
                taken[name].append(time.process_time() - before)
    return taken


def profile(epoch: Callable[[], Any], rows: int) -> None:
    """Print operations of torch by their own time, then functions of Python on the thread of the steps."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        epoch()
    print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=40))
    with cProfile.Profile() as functions:
        epoch()
    print(f"{rows} images")
    pstats.Stats(functions).sort_stats("tottime").print_stats(25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=list(ROWS), nargs="+", default=list(ROWS))
    parser.add_argument(
        "--encoding", choices=["bank", "unique", "full"], help="method.encoding, in versions that have it"
    )
    parser.add_argument("--rows", type=int, help="images of the epoch")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--profile", action="store_true", help="where an epoch of the method spends its time")
    parser.add_argument("--json", type=Path, metavar="PATH")
    given = parser.parse_args()
    if given.encoding and "encoding" not in {spec.name for spec in dataclasses.fields(Recipe().method)}:
        parser.error("this version has no method.encoding: its steps read neighbours from the bank")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    records = []
    for encoder in given.encoder:
        rows = given.rows or ROWS[encoder]
        with tempfile.TemporaryDirectory() as folder:
            epochs = contenders(encoder, given.encoding, rows, given.batch, Path(folder))
            if given.profile:
                epochs["method"]()
                profile(epochs["method"], rows)
                continue
            taken = measure(epochs, given.rounds)
        found = ratio(taken["method"], taken["plain"])
        each = {name: 1e6 * min(seconds) / rows for name, seconds in taken.items()}
        print(
            f"{encoder:10s} plain {each['plain']:9,.1f} us an image   method {each['method']:9,.1f}   "
            f"{found['ratio']:.3f} x (rounds {found['low']:.3f} to {found['high']:.3f}; aim {LIMITS[encoder]:g})",
            flush=True,
        )
        records.append(
            {
                "name": f"step of {encoder}, batch {given.batch}, {given.encoding or 'bank'}", "ours": each["method"],
                "peer": each["plain"], "peer_name": "plain cross-entropy", "unit": "us of processor time an image",
                "ratio": found["ratio"], "spread": [found["low"], found["high"]], "machine": machine, "commit": commit,
            }
        )  # fmt: skip
    if given.json:
        given.json.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
