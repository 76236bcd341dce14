"""How many images a second does a GPU train on: plain, with the method, and as timm trains the same model?

    python benchmarks/gpu.py --out gpu.jsonl                 # at most 8 minutes; every row is written as it is measured
    python benchmarks/gpu.py --device cpu --rows 512 --models resnet18@32 --minutes 2

It needs the library alone and timm: no Ray, no DGL, no database. Images are bytes made on the spot, in memory. `plain`
and `method` are epochs of the training loop: rows picked from memory, copied as bytes, cropped, flipped and normalised
on the device, the step, the bank, the report. `timm` is its own parts around the same network: a DataLoader of bytes in
worker processes, timm's PrefetchLoader, which normalises on the device (nothing is cropped or flipped), its SGD and the
same autocast. Contenders take turns; the ratio's spread is that of the rounds. The share that is ours is what of a step
of the method plain training does not take. Then a bank of 10 million features of 512 numbers: what a batch's reads and
writes take of it where it lies on the device.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from art_timing import ratio
from torch import nn

from csrms_dist.encoders import Normaliser, make_encoder
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import LabelSpace
from csrms_dist.methods.known import part
from csrms_dist.methods.protocol import Task
from csrms_dist.methods.saved_model import ModelCard, make_model
from csrms_dist.models.device_bank import DeviceBank
from csrms_dist.sampling import Candidates, build_candidates
from csrms_dist.sampling.reference_sampler import ReferenceSampler
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.training.batches import TrainingData
from csrms_dist.training.inputs import ImageInputs
from csrms_dist.training.loop import fit
from csrms_dist.training.placement import Placement, placement_of
from csrms_dist.training.recipe import CONTROL, TRAIN, Recipe
from csrms_dist.training.settings import OptimiserSettings, TrainSettings

CLASSES, PATTERNS, SEED, ROUNDS = 100, 400, 0, 3
MODELS = {
    "resnet18@32": ("resnet18", 32, 512, 25_600),
    "resnet18@224": ("timm:resnet18", 224, 256, 5_120),
    "resnet50@224": ("timm:resnet50", 224, 128, 2_560),
}
"""encoder, side, batch, images of an epoch."""


class InMemory:
    """Images (N, H, W, 3) uint8 where the loop expects a table."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def pixels(self, indices: np.ndarray) -> np.ndarray:
        return self.images[indices]


@dataclasses.dataclass(frozen=True)
class MadeUp:
    """A hierarchy and features that no run has made: a `Structure`."""

    hierarchy: HierarchyGraph
    vectors: np.ndarray
    sampling: SamplingSettings

    @property
    def ids(self) -> list[str]:
        return [str(row) for row in range(self.hierarchy.n_rows)]

    def candidates(self, edge_types: tuple[str, ...]) -> dict[str, Candidates]:
        found = build_candidates(self.hierarchy, self.vectors, self.sampling)
        return {kind: found[kind] for kind in edge_types}

    def artefact(self, stage: str) -> Path:
        raise NotImplementedError(stage)


def contenders(name: str, rows: int, placement: Placement) -> Mapping[str, Callable[[], Any]]:
    """An epoch of `rows` images by contender."""
    encoder, side, batch, _ = MODELS[name]
    draw, space = np.random.default_rng(SEED), LabelSpace(tuple(map(str, range(CLASSES))))
    images = draw.integers(0, 256, (rows, side, side, 3), dtype=np.uint8)
    pattern = np.arange(rows) % PATTERNS
    labels = np.where(draw.random(rows) < 0.8, pattern % CLASSES, draw.integers(0, CLASSES, rows))
    membership, recipe = space.membership(labels.tolist()), Recipe(seed=SEED)
    graph = build_hierarchy(
        pattern, np.ones(rows), membership, np.arange(rows), dominance_threshold=0.6,
        n_positives=recipe.sampling.n_positives, multi_label=False,
    )  # fmt: skip
    settings = OptimiserSettings(batch_size=batch, lr=1e-3, warmup_epochs=0)
    inputs = ImageInputs(InMemory(images), np.arange(rows), Normaliser([0.5] * 3, [0.5] * 3), "crop_flip", SEED)  # type: ignore[arg-type]
    data = TrainingData(inputs, membership)

    def epoch(role: str) -> Callable[[], Any]:
        method, spec = recipe.spec(role)
        options = recipe.method.model_options(recipe.sampling) if role == TRAIN else {}
        card = ModelCard(encoder, (side, side, 3), (), (), space.class_names, method, options)
        model = placement.model(make_model(card, SEED, make_encoder(encoder, card.image_shape, SEED)))
        task = Task(
            role=role, settings=recipe.method, sampling=recipe.sampling, seed=SEED, n_rows=rows, label_smoothing=0.0,
            labels_per_image=None, cluster=recipe.cluster, graph=recipe.graph, frozen=False, rank=0, work=None,
            device=placement.device, sampler_type=ReferenceSampler,
        )  # fmt: skip
        centres = draw.normal(size=(PATTERNS, model.encoder.dimension)).astype(np.float32)
        built = part(spec.build)(model, MadeUp(graph, np.maximum(centres[pattern], 0), recipe.sampling), task)
        return lambda: fit(
            built.method, data, settings, n_images=rows, seed=SEED, sampler=built.sampler, placement=placement
        )

    return {"timm": timm_epoch(name, images, labels, placement), "plain": epoch(CONTROL), "method": epoch(TRAIN)}


class Bytes(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """(3, H, W) uint8 and a label, as timm's loaders collate them."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[np.ndarray, int]:
        return self.images[row].transpose(2, 0, 1), int(self.labels[row])


def timm_epoch(name: str, images: np.ndarray, labels: np.ndarray, placement: Placement) -> Callable[[], Any]:
    """timm's plain training: its loader, its optimiser, its way with autocast."""
    from timm.data.loader import PrefetchLoader, fast_collate
    from timm.optim import create_optimizer_v2

    encoder, side, batch, _ = MODELS[name]
    base = make_encoder(encoder, (side, side, 3), SEED)
    model = nn.Sequential(base, nn.Linear(base.dimension, CLASSES)).to(placement.device).train()
    if placement.on_gpu:
        model = model.to(memory_format=torch.channels_last)
    forward = torch.compile(model) if placement.compiled else model
    optimiser = create_optimizer_v2(model, opt="sgd", lr=1e-3, momentum=0.9, weight_decay=5e-4)
    loss_of = nn.CrossEntropyLoss()
    loader: Any = torch.utils.data.DataLoader(
        Bytes(images, labels), batch, shuffle=True, num_workers=8 if placement.on_gpu else 0,
        collate_fn=fast_collate, pin_memory=placement.on_gpu, persistent_workers=placement.on_gpu,
    )  # fmt: skip
    if placement.on_gpu:
        loader = PrefetchLoader(loader, device=placement.device)

    def epoch() -> None:
        for pixels, target in loader:
            if not placement.on_gpu:
                pixels = pixels.float().sub(127.5).div(127.5)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            with torch.autocast(placement.device.type, torch.bfloat16, enabled=placement.precision == torch.bfloat16):
                loss = loss_of(forward(pixels), target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return epoch


def seconds(work: Callable[[], Any], placement: Placement) -> float:
    """Of one call, the device's work included."""
    begun = time.perf_counter()
    work()
    if placement.on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def bank_row(placement: Placement, rows: int) -> dict[str, Any]:
    """A bank of bfloat16 on the device: a batch of 512 reads 20 neighbours each and writes itself."""
    nothing = np.broadcast_to(np.zeros((1, 1), np.float32), (rows, 512))
    bank = DeviceBank(nothing, fixed=False, device=placement.device, kind=torch.bfloat16)
    draw, features = np.random.default_rng(SEED), torch.zeros(512, 512, device=placement.device)
    index = [draw.integers(0, rows, (512, 20)) for _ in range(20)]
    bank.write(index[0][:, 0], features)  # the second generation is made here
    read = seconds(lambda: [bank.read(some) for some in index], placement) / len(index)
    write = seconds(lambda: [bank.write(some[:, 0], features) for some in index], placement) / len(index)
    return {"row": f"bank {rows:,} x 512", "read_ms": 1e3 * read, "write_ms": 1e3 * write}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--rows", type=int, help="images of an epoch, by default those of the model")
    parser.add_argument("--bank", type=int, default=10_000_000, help="rows of the bank; 0 leaves it out")
    parser.add_argument("--minutes", type=float, default=8.0, help="no round begins after this")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    begun = time.perf_counter()
    placement = placement_of(TrainSettings(device=given.device, precision=given.precision, compile=given.compile))
    placement.set_up()
    device = torch.cuda.get_device_name() if placement.on_gpu else platform.processor() or "a CPU"
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    facts = {"device": device, "torch": torch.__version__, "commit": commit.stdout.strip() or "unknown"}

    def say(row: Mapping[str, Any]) -> None:
        line = json.dumps({**row, **facts})
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        if given.out:
            with given.out.open("a") as file:
                file.write(line + "\n")

    for name in given.models:
        rows = given.rows or MODELS[name][3]
        epochs = contenders(name, rows, placement)
        taken: dict[str, list[float]] = {contender: [] for contender in epochs}
        for round_ in range(ROUNDS + 1):
            if time.perf_counter() - begun > 60 * given.minutes:
                break
            for contender, epoch in epochs.items():
                once = seconds(epoch, placement)
                if round_:  # the first compiles, chooses algorithms and starts processes
                    taken[contender].append(once)
                    say({"row": name, "contender": contender, "round": round_, "images_per_s": round(rows / once, 1)})
        if not taken["method"]:
            say({"row": name, "left_out": "no time was left"})
            continue
        best = {contender: rows / min(times) for contender, times in taken.items()}
        say({
            "row": name, "precision": given.precision, "compiled": given.compile, "batch": MODELS[name][2],
            **{f"{contender}_images_per_s": round(rate, 1) for contender, rate in best.items()},
            "plain_over_timm": ratio(taken["timm"], taken["plain"]),
            "method_step_over_plain": ratio(taken["method"], taken["plain"]),
            "share_that_is_ours": round(1 - best["method"] / best["plain"], 3),
        })  # fmt: skip
    if given.bank:
        say(bank_row(placement, given.bank))


if __name__ == "__main__":
    main()
