"""Images a second that one core encodes without gradients, by encoder and by the images of a call.

    python benchmarks/encoders.py
    python benchmarks/encoders.py --encoder resnet18:32 --batch 32

It says which `features.batch_size` suits an encoder: the larger a block, the less of it stays in the processor's cache.
The encoders have random weights, which takes as long. The best of the rounds counts; pixels, normalisation and the
copying of results are included.
"""

from __future__ import annotations

import argparse
import platform
import time

import numpy as np
import torch

from csrms_dist.encoders import Normaliser, make_encoder
from csrms_dist.features.extraction import encode_pixels

ENCODERS = ("lenet5:32", "resnet18:32", "efficientnet_lite0:96", "efficientnet_lite0:128")
BATCHES = (16, 32, 64, 256)


def images_a_second(name: str, size: int, batch: int, rounds: int) -> float:
    """The best of `rounds` rounds over at least 256 images."""
    encoder = make_encoder(name, (size, size, 3), seed=0)
    normalise = Normaliser((0.5,) * 3, (0.5,) * 3)
    n = max(batch, 256) if name != "lenet5" else 8192
    pixels = np.random.default_rng(0).integers(0, 256, (n, size, size, 3), np.uint8)
    encode_pixels(encoder, normalise, pixels[:batch], batch)
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        encode_pixels(encoder, normalise, pixels, batch)
        best = min(best, time.perf_counter() - started)
    return n / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoder", nargs="+", default=ENCODERS, metavar="NAME:SIZE")
    parser.add_argument("--batch", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.processor() or platform.machine()}, one core, torch {torch.__version__}; images a second")
    print(f"{'encoder':<24}" + "".join(f"{batch:>10}" for batch in given.batch))
    for encoder in given.encoder:
        name, _, size = encoder.rpartition(":")
        print(f"{encoder:<24}", end="")
        for batch in given.batch:
            print(f"{images_a_second(name, int(size), batch, given.rounds):>10,.0f}", end="", flush=True)
        print()


if __name__ == "__main__":
    main()
