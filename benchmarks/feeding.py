"""How fast are images fed to a training? Images a second, ours against a torch DataLoader with torchvision.

    python benchmarks/feeding.py                                  # synthetic images of 32 x 32
    python benchmarks/feeding.py --data train.parquet --json feeding.json
    python benchmarks/feeding.py --augmentation contrastive      # or resized_crop

Ours: the image table (decoded bytes, memory-mapped) -> crop and flip drawn by hash -> normalised float32 (B, 3, H, W),
batches of 128 in the shuffled order of an epoch, in one thread. The peer feeds the same images the way a CIFAR-10
training with torchvision does: PIL -> RandomCrop(padding=4, reflect) -> RandomHorizontalFlip -> ToTensor -> Normalize
in a DataLoader, with 0, 1 and 2 workers, of which the best counts; with `--augmentation` RandomResizedCrop comes in the
place of RandomCrop, and for `contrastive` ColorJitter and RandomGrayscale after the flip. `v2` is torchvision's newer
transforms on uint8 tensors instead of PIL images, the best of the same numbers of workers. Both read decoded images
from memory; every round makes one pass over all images with each of them in turn; the best round counts, and the spread
is that of the rounds' ratios.

Nothing consumes the batches: this is the feed alone. In a training it shares the cores with the model; a worker of the
DataLoader then hides its time only as far as it has a core of its own.

The limit of such a feed is moving bytes: an image of H x W is read once as 3 H W bytes and written once as 12 H W,
which is 15 kB at 32 x 32. `limit` is what this machine reaches when it only turns each byte into a float where it lies,
in order and without choosing a pixel: batches stay in the processor's cache there, and from memory alone, at 10 GB/s,
it would be 650,000 images a second.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms import v2

from csrms_dist.datasets.image_source import in_memory
from csrms_dist.datasets.image_table import ImageTable, write_image_table
from csrms_dist.encoders import Normaliser
from csrms_dist.labels import LabelSpace
from csrms_dist.training.inputs import ImageInputs
from csrms_dist.training.loop import global_batches

BATCH, SEED, PADDING = 128, 0, 4
WORKERS = (0, 1, 2)
# Bytes of an image of which a float32 value is made: once read as a byte, once written as four.
BYTES_A_VALUE = 5
Feed = Callable[[int], Iterator[Any]]


def read_images(path: Path | None, limit: int) -> np.ndarray:
    """(N, H, W, 3) uint8: the column `image` of a Parquet file, decoded, or synthetic images."""
    if path is None:
        return np.random.default_rng(0).integers(0, 256, (limit, 32, 32, 3), dtype=np.uint8)
    column = pq.read_table(path, columns=["image"])["image"][:limit]
    images = [np.asarray(Image.open(io.BytesIO(value.as_py())).convert("RGB")) for value in column]
    if len({image.shape for image in images}) > 1:
        raise SystemExit(f"{path}: images of several sizes; this benchmark feeds decoded images of one size")
    return np.stack(images)


class Memory(Dataset):
    """Decoded images in memory, one item after the other, as torchvision.datasets.CIFAR10 hands them out."""

    def __init__(self, images: np.ndarray, transform: Any, *, as_pil: bool) -> None:
        self.images, self.transform = images, transform
        self.of_item = Image.fromarray if as_pil else lambda image: torch.from_numpy(image).permute(2, 0, 1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(self.of_item(self.images[index])), 0


def loader_feed(dataset: Memory, workers: int) -> Feed:
    """Batches of a DataLoader; its workers stay for all epochs."""
    loader = DataLoader(dataset, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    return lambda epoch: (images for images, _ in loader)


def our_feed(table: ImageTable, normalise: Normaliser, kind: str) -> Feed:
    """Batches as the training loop asks for them."""
    inputs = ImageInputs(table, np.arange(len(table)), normalise, kind, SEED)
    n = len(table)
    return lambda epoch: (inputs(rows, epoch) for rows in global_batches(n, BATCH, (epoch + 1) * n, SEED, epoch))


def limit_feed(images: np.ndarray) -> Feed:
    """Each byte copied and turned into a float where it lies."""

    def feed(epoch: int) -> Iterator[Any]:
        for start in range(0, len(images), BATCH):
            yield torch.from_numpy(images[start : start + BATCH].astype(np.float32))

    return feed


def seconds(feed: Feed, epoch: int, expected: int) -> float:
    """One epoch of a feed; every batch is looked at, so that nothing is fed by name alone."""
    images = 0
    begun = time.perf_counter()
    for batch in feed(epoch):
        if batch.dtype != torch.float32:
            raise TypeError(f"a batch of {batch.dtype}")
        images += len(batch)
    elapsed = time.perf_counter() - begun
    if images != expected:
        raise ValueError(f"{images} images instead of {expected}")
    return elapsed


def drawn(made: Any, kind: str, size: tuple[int, ...]) -> list[Any]:
    """torchvision's transforms, of either kind, in the place of an augmentation of ours."""
    if kind == "crop_flip":
        return [made.RandomCrop(size, padding=PADDING, padding_mode="reflect"), made.RandomHorizontalFlip()]
    if kind == "resized_crop":
        return [made.RandomResizedCrop(size), made.RandomHorizontalFlip()]
    jitter = made.RandomApply([made.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8)
    return [made.RandomResizedCrop(size, (0.2, 1.0)), made.RandomHorizontalFlip(), jitter, made.RandomGrayscale(0.2)]


def peers(images: np.ndarray, mean: list[float], std: list[float], augmentation: str) -> dict[str, Feed]:
    """The DataLoader over torchvision's transforms, by number of workers."""
    size = images.shape[1:3]
    pil = transforms.Compose(
        [
            *drawn(transforms, augmentation, size),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    tensors = v2.Compose(
        [
            *drawn(v2, augmentation, size),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean, std),
        ]
    )
    kinds = {"PIL": Memory(images, pil, as_pil=True), "v2": Memory(images, tensors, as_pil=False)}
    return {
        f"DataLoader, torchvision {kind}, {workers} workers": loader_feed(dataset, workers)
        for kind, dataset in kinds.items()
        for workers in WORKERS
    }


def measure(images: np.ndarray, rounds: int, augmentation: str) -> dict[str, list[float]]:
    """Seconds of an epoch by feed, `rounds` of each, in turn; a first epoch of each is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.arrow"
        space = LabelSpace(("0",))
        n = len(images)
        ids = [f"{row}" for row in range(n)]
        membership = space.membership(np.zeros(n, np.int64))
        write_image_table(path, in_memory("images", space, ids, membership, ["train"] * n, images, images.shape[1:]))
        table = ImageTable(path)
        mean, std = table.channel_statistics()
        feeds = {
            "ours": our_feed(table, Normaliser(mean, std), augmentation),
            **peers(images, mean, std, augmentation),
            "limit": limit_feed(images),
        }
        times: dict[str, list[float]] = {name: [] for name in feeds}
        for round_ in range(rounds + 1):
            for name, feed in feeds.items():
                elapsed = seconds(feed, round_, n)
                if round_:
                    times[name].append(elapsed)
        return times


def records(times: dict[str, list[float]], n: int, shape: tuple[int, ...], augmentation: str) -> list[dict[str, Any]]:
    """One record a peer: the best number of workers of each kind of transform."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    ours = times["ours"]
    found = []
    for kind in ("PIL", "v2"):
        name = min((name for name in times if kind in name), key=lambda name: min(times[name]))
        ratios = [peer / own for own, peer in zip(ours, times[name], strict=True)]
        found.append(
            {
                "name": f"feeding {n:,} images of {shape[0]} x {shape[1]}, {augmentation}",
                "ours": n / min(ours),
                "peer": n / min(times[name]),
                "peer_name": name,
                "unit": "images/s",
                "ratio": min(times[name]) / min(ours),
                "spread": [min(ratios), statistics.median(ratios), max(ratios)],
                "machine": f"{platform.machine()}, {os.cpu_count()} cores",
                "commit": commit,
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="PATH", help="Parquet with a column `image` of encoded bytes")
    parser.add_argument("--images", type=int, default=50_000, help="at most so many images")
    parser.add_argument("--augmentation", choices=("crop_flip", "resized_crop", "contrastive"), default="crop_flip")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="5,000 images, 3 rounds, under two minutes")
    parser.add_argument("--json", type=Path, metavar="PATH")
    arguments = parser.parse_args()
    # One thread to a process, as in a training of ours; a worker of a DataLoader has one by default.
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*not writable.*")
    n, rounds = (5_000, 3) if arguments.quick else (arguments.images, arguments.rounds)
    images = read_images(arguments.data, n)
    times = measure(images, rounds, arguments.augmentation)
    for name, taken in times.items():
        rates = [len(images) / elapsed for elapsed in taken]
        moved = max(rates) * BYTES_A_VALUE * int(np.prod(images.shape[1:])) / 1e9
        spread = f"rounds {min(rates):,.0f} to {max(rates):,.0f}"
        print(f"{name:40s} {max(rates):10,.0f} images/s   {spread}   {moved:.2f} GB/s")
    found = records(times, len(images), images.shape[1:], arguments.augmentation)
    for record in found:
        low, middle, high = record["spread"]
        print(f"ours is {record['ratio']:.1f} times {record['peer_name']} (rounds {low:.1f}, {middle:.1f}, {high:.1f})")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
