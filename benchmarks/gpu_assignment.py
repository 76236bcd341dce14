"""What does one pass that places all rows of a clustering cost on a GPU? Seconds, beside an iteration of flash-kmeans.

    pip install . flash-kmeans==0.3.1                    # the core alone: no Ray, no DGL, no database
    python benchmarks/gpu_assignment.py                  # at most three minutes; rows come as they are there
    python benchmarks/gpu_assignment.py --seconds 600 --json gpu_assignment.jsonl
    python benchmarks/gpu_assignment.py --device cpu --rows 20000 --prototypes 512     # does it run at all?

Made on the spot: int8 rows of 64 columns as a run prepares them (groups that overlap, L2-normalised, one scale), and
prototypes that are such rows too. In this order:

1. `check`: the bytes of the processor's kernel for a sample, winners, scores and states, with the processor's seconds.
   Where they differ nothing is timed, and the exit code is 1.
2. `shape`: how the kernels may cut the work (`assignment.padding.Shape`), at some of the fewest rows; the best stays.
3. For each number of rows, as far as memory and time go, in turn, round after round:
   - `device`: rows lie on the device, results stay there. Behind it, of one more pass, the kernel `scan` alone, `begin`
     (that and `settle`), and `rest`.
   - `host`: rows come from the host's memory, results go there: what a run does.
   - `flash`: half of two iterations of flash-kmeans (assignment and new centroids, float16) on the same rows, on the
     device. On a CPU it is its way through torch, float32.
   The minimum of the rounds counts, the spread is that of the rounds' ratios to flash; below 1 is faster than it.

Each row is also a line of JSON with the device, versions and the commit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from art_timing import ratio
from torch import Tensor

from csrms_dist.art.spherical.int8_products import placed
from csrms_dist.assignment.blocks import MOST_ROWS
from csrms_dist.assignment.on_device import OnDevice, Table
from csrms_dist.assignment.padding import Shape, chunk_of

COLUMNS, GROUPS, VIGILANCE, SEED = 64, 4096, 0.3, 0
SHAPES = (
    Shape(),
    Shape(128, 256, 8, 3),
    Shape(128, 64, 4, 4),
    Shape(64, 128, 4, 3),
    Shape(256, 128, 8, 3),
    Shape(128, 128, 8, 3, 2),
)
AIM = 1.0
"""The ratio to reach at 100 million rows."""
PER_ROW = 5
"""Bytes on the device for each value of a row: int8, float16 and what flash-kmeans makes of it."""


class Output:
    """Rows, printed and appended to a file as they are there; knows how much time is left."""

    def __init__(self, path: Path | None, seconds: float, **facts: Any) -> None:
        self._path, self._facts = path, facts
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        return self._end - time.monotonic()

    def __call__(self, name: str, text: str, **values: Any) -> None:
        print(f"{name:8s} {text}", flush=True)
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps({"name": name, **values, **self._facts}) + "\n")


def made(n: int, columns: int, device: torch.device, seed: int) -> Tensor:
    """(n, columns) int8 rows: around GROUPS centres, normalised to one length, the largest value of all 127."""
    draw = torch.Generator(device).manual_seed(SEED)
    centres = torch.randn((GROUPS, columns), generator=draw, device=device)
    draw.manual_seed(seed)
    out = torch.empty((n, columns), dtype=torch.int8, device=device)
    step = 1 << 20
    for start in range(0, n, step):
        block = out[start : start + step]
        rows = centres[torch.randint(GROUPS, (len(block),), generator=draw, device=device)]
        rows = rows + torch.randn(rows.shape, generator=draw, device=device)
        rows = torch.nn.functional.normalize(rows) * 200
        block.copy_(rows.round().clamp(-127, 127))
    return out


def seconds_of(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds of a call, all that it began on the device included."""
    settle(device)
    started = time.perf_counter()
    work()
    settle(device)
    return time.perf_counter() - started


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def on_device(way: OnDevice, q: Tensor, table: Table, parts: dict[str, float] | None = None) -> Tensor:
    """The winners of rows that lie on the device; q is already as wide as the table. parts: takes seconds of each."""
    winners = torch.empty(len(q), dtype=torch.int32, device=q.device)
    for start in range(0, len(q), MOST_ROWS):
        block = q[start : start + MOST_ROWS]
        before = time.perf_counter()
        begun = way.begin(block, table)
        if parts is not None:
            settle(q.device)
            parts["begin"] = parts.get("begin", 0.0) + time.perf_counter() - before
            before = time.perf_counter()
        winners[start : start + MOST_ROWS] = way.finish(block, begun, table, VIGILANCE)[0]
        if parts is not None:
            settle(q.device)
            parts["rest"] = parts.get("rest", 0.0) + time.perf_counter() - before
    return winners


def scanned(q: Tensor, table: Table, shape: Shape) -> None:
    """The first kernel alone."""
    from csrms_dist.assignment import fused

    for start in range(0, len(q), MOST_ROWS):
        fused.scan(q[start : start + MOST_ROWS], table.p, table.inverse, chunk_of(table.columns), shape)


def check(q: Tensor, p: np.ndarray, way: OnDevice, out: Output) -> bool:
    """Whether a device's bytes are the processor's."""
    rows = q.cpu().numpy()
    rows[:3] = np.array([[0], [127], [-128]])  # no direction, and the longest ones
    started = time.perf_counter()
    expected = placed(rows, p, VIGILANCE)
    taken = time.perf_counter() - started
    found = way(rows, p, VIGILANCE)
    equal = all(a.tobytes() == b.tobytes() for a, b in zip(found, expected, strict=True))
    differ = int((found.winner != expected.winner).sum())
    out(
        "check", f"{len(rows):,} rows: {'the same bytes' if equal else f'OTHER BYTES, {differ:,} other winners'}; "
        f"one thread of the processor {taken:.2f} s ({1e6 * taken / len(rows):.1f} us a row)",
        rows=len(rows), equal=equal, processor_seconds=taken,
    )  # fmt: skip
    return equal


def best_shape(q: Tensor, p: np.ndarray, out: Output) -> Shape:
    """The fastest way to cut the work; one that this device cannot have is passed over."""
    best, least = Shape(), float("inf")
    for shape in SHAPES:
        if out.left() < 60:
            break
        way, table = OnDevice(q.device.type, few=0, shape=shape), Table.of(p, q.device, shape.tile)
        try:
            on_device(way, q, table)  # compiles
            taken = min(seconds_of(lambda way=way, table=table: on_device(way, q, table), q.device) for _ in range(3))
        except Exception as error:
            out("shape", f"{tuple(shape)}: {type(error).__name__}: {str(error).splitlines()[0]}", shape=shape)
            continue
        out("shape", f"{tuple(shape)}: {1e3 * taken:.2f} ms, {len(q):,} rows", shape=shape, seconds=taken, rows=len(q))
        if taken < least:
            best, least = shape, taken
    return best


def flash_iterations(q: Tensor, p: np.ndarray) -> Callable[[], Any] | None:
    """Two iterations of flash-kmeans from the prototypes, None where it is not installed."""
    if find_spec("flash_kmeans") is None:
        return None
    kind = torch.float16 if q.is_cuda else torch.float32
    x = torch.empty(q.shape, dtype=kind, device=q.device)
    for start in range(0, len(q), 1 << 20):  # unit length: squares of the bytes are too large for float16
        x[start : start + (1 << 20)] = torch.nn.functional.normalize(q[start : start + (1 << 20)].float())
    centroids = torch.nn.functional.normalize(torch.from_numpy(p).to(q.device).float()).to(kind)
    if q.is_cuda:
        from flash_kmeans import batch_kmeans_Euclid as kmeans
    else:
        from flash_kmeans.torch_fallback import batch_kmeans_Euclid_torch_native as kmeans
    return lambda: kmeans(x[None], len(p), max_iters=2, tol=0.0, init_centroids=centroids[None].clone())


def measure(n: int, p: np.ndarray, way: OnDevice, rounds: int, host: bool, out: Output) -> None:
    """The rows of one number of rows."""
    device = torch.device(way.device)
    q = made(n, p.shape[1], device, SEED + 1)
    table = Table.of(p, device, way.shape.tile)
    wide = q if table.p.shape[1] == q.shape[1] else torch.nn.functional.pad(q, (0, table.p.shape[1] - q.shape[1]))
    rows = q.cpu().numpy() if host else None
    contenders: dict[str, Callable[[], Any]] = {"device": lambda: on_device(way, wide, table)}
    if rows is not None:
        contenders["host"] = lambda: way(rows, p, VIGILANCE)
    flash = flash_iterations(q, p)
    if flash is not None:
        contenders["flash"] = flash
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(rounds + 1):  # the first of each is not counted: it compiles
        longest = sum(values[-1] for values in taken.values() if values)
        if round_ > 1 and longest > out.left():
            break
        for name, work in contenders.items():
            seconds = seconds_of(work, device) / (2 if name == "flash" else 1)
            if round_:
                taken[name].append(seconds)
    parts: dict[str, float] = {}
    on_device(way, wide, table, parts)
    unsettled = None
    if (begun := way.begin(wide[:MOST_ROWS], table)) is not None:
        unsettled = float(begun.unsettled.double().mean())
        parts["scan"] = seconds_of(lambda: scanned(wide, table, way.shape), device)
    for name, values in taken.items():
        facts: dict[str, Any] = {"rows": n, "prototypes": len(p), "columns": p.shape[1], "seconds": values}
        text = f"{n:>11,} rows: {min(values):9.4f} s"
        if name == "device":
            facts |= {"parts": parts, "unsettled": unsettled, "shape": way.shape}
            text += "  (" + ", ".join(f"{part} {value:.4f}" for part, value in parts.items())
            text += f"; the other way {unsettled:.1e} of the rows)" if unsettled is not None else ")"
        if name != "flash" and taken.get("flash"):
            found = ratio(values, taken["flash"])
            facts |= {"ratio": found["ratio"], "spread": [found["low"], found["high"]]}
            text += f"  {found['ratio']:.3f} x flash ({found['low']:.3f} to {found['high']:.3f}; aim {AIM:g})"
        out(name, text, **facts)


def affordable(numbers: list[int], columns: int, device: torch.device) -> Iterator[tuple[int, bool]]:
    """The numbers of rows for which the device has memory, and whether the host has it too."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for n in numbers:
        there = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free
        if n * (PER_ROW * columns + 64) < there * 0.9:
            yield n, n * (columns + 16) < free // 2


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "torch": torch.__version__}
    for package in ("triton", "flash-kmeans"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000, 100_000_000])
    parser.add_argument("--prototypes", type=int, default=32_768)
    parser.add_argument("--columns", type=int, default=COLUMNS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sample", type=int, default=20_000, help="rows that are compared with the processor's bytes")
    parser.add_argument("--seconds", type=float, default=160, help="after them nothing more is begun")
    parser.add_argument(
        "--shape", type=int, nargs=5, help="rows tile warps stages settle_warps, in place of the search"
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="a line for each row, appended")
    given = parser.parse_args()
    device = torch.device(given.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    out = Output(given.json, given.seconds, device=name, versions=versions(), commit=commit)
    out("machine", f"{name}, {', '.join(f'{key} {value}' for key, value in versions().items())}, commit {commit[:9]}")
    p = made(given.prototypes, given.columns, device, SEED + 2).cpu().numpy()
    way = OnDevice(given.device, few=0, shape=Shape(*given.shape) if given.shape else Shape())
    if not check(made(given.sample, given.columns, device, SEED + 3), p, way, out):
        return 1
    if device.type == "cuda" and not given.shape:
        few = made(max(1, min(given.rows) // 10 * 4), given.columns, device, SEED + 4)
        width = Table.of(p[:1], device, 16).p.shape[1]
        way = OnDevice(
            given.device, few=0, shape=best_shape(torch.nn.functional.pad(few, (0, width - given.columns)), p, out)
        )
    longest, before = 0.0, 0
    for n, host in affordable(given.rows, given.columns, device):
        if longest * n / max(1, before) > out.left():
            out("skipped", f"{n:,} rows: {out.left():.0f} s are left", rows=n)
            break
        started = time.monotonic()
        measure(n, p, way, given.rounds, host, out)
        longest, before = (time.monotonic() - started) / (given.rounds + 1) * 2, n
    return 0


if __name__ == "__main__":
    sys.exit(main())
