"""How much private memory does each stage take? Peak RssAnon of the largest process, stage by stage.

    python benchmarks/memory.py --config examples/digits.yaml --out runs/memory --json memory.json
    python benchmarks/memory.py --synthetic 500000 --out runs/memory10 --set pretrain.epochs=1 --set train.epochs=1

Runs `csrms STAGE CONFIG` for every stage in turn and looks every 50 ms at every process that the command started. What
is counted is what no file and no other process holds (RssAnon of /proc/PID/status): memory-mapped files do not count,
because the system takes their pages back when it needs them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import subprocess
import sys
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ray_jobs.settings import load_settings
from ray_jobs.stages.table import stages_of

MARK = "CSRMS_BENCHMARK"
EVERY_S = 0.05
CLASSES, SIDE, PART = 10, 32, 10_000


@dataclass(frozen=True)
class Figure:
    """Peaks of one stage. process: the one with the largest peak; everyone: its peak by kind of process, in MB."""

    stage: str
    seconds: float
    peak_mb: float
    process: str
    everyone: dict[str, float]


class Watch:
    """The peak RssAnon of every process that carries a mark in its environment, or descends from one that does."""

    def __init__(self, mark: str) -> None:
        self._mark = mark.encode()
        self._ours: dict[int, bool] = {}
        self.peaks: dict[int, tuple[float, str]] = {}

    def look(self) -> None:
        """Note what every process holds now."""
        alive = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
        self._ours = {pid: ours for pid, ours in self._ours.items() if pid in alive}
        for pid in alive:
            with contextlib.suppress(OSError):  # it ended meanwhile, or belongs to another user
                self._look_at(pid)

    def _look_at(self, pid: int) -> None:
        # Ray overwrites the environment of its workers with their titles, so what was found once is kept.
        if pid in self._ours and not self._ours[pid]:
            return
        status = Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        if pid not in self._ours:
            marked = self._mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            self._ours[pid] = marked or self._ours.get(int(fields["PPid"]), False)
            if not self._ours[pid]:
                return
        held = float(fields.get("RssAnon", "0 kB").split()[0]) / 1024
        if held > self.peaks.get(pid, (0.0, ""))[0]:
            self.peaks[pid] = held, title(pid)


def title(pid: int) -> str:
    """A process in a few words."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    line = " ".join(words)
    for needle, name in (
        ("ray::", line.split("(")[0].strip()), ("graphstore.embedded.builder", "graph builder"),
        ("ray_jobs.commands.cli", "driver"),
        ("gcs_server", "ray gcs"), ("raylet", "raylet"), ("ray", "ray service"),
    ):  # fmt: skip
        if needle in line:
            return name
    return Path(words[0]).name


def measure(stage: str, config: str, arguments: list[str]) -> Figure:
    """Run one stage's command and watch it. Raises SystemExit when the command fails."""
    value = uuid.uuid4().hex
    command = [sys.executable, "-m", "ray_jobs.commands.cli", stage, config, *arguments]
    watch, started = Watch(f"{MARK}={value}"), time.monotonic()
    with subprocess.Popen(command, env={**os.environ, MARK: value, "CI": "true"}) as process:
        try:
            while process.poll() is None:
                watch.look()
                time.sleep(EVERY_S)
        except BaseException:
            process.terminate()
            raise
    seconds = time.monotonic() - started
    if process.returncode:
        raise SystemExit(process.returncode)
    everyone: dict[str, float] = {}
    for held, name in watch.peaks.values():
        everyone[name] = max(held, everyone.get(name, 0.0))
    largest = max(everyone, key=lambda name: everyone[name])
    return Figure(stage, seconds, everyone[largest], largest, everyone)


def synthetic(folder: Path, n: int) -> list[str]:
    """Write n training images and n / 5 test images (at most 10,000), ten classes, as Parquet; returns the settings.

    What is there already is kept, so that a second run goes on where the first ended.
    """
    settings = ["data.dataset=parquet"]
    folder.mkdir(parents=True, exist_ok=True)
    for split, key, rows in (("train", "path", n), ("test", "test_path", min(max(n // 5, CLASSES), 10_000))):
        path = (folder / f"{split}-{rows}.parquet").absolute()
        settings.append(f"data.{key}={path}")
        if path.exists():
            continue
        schema = pa.schema([("id", pa.string()), ("image", pa.binary()), ("label", pa.int64())])
        with pq.ParquetWriter(path.with_suffix(".part"), schema) as writer:
            for start in range(0, rows, PART):
                index = np.arange(start, min(rows, start + PART))
                images = [_image(split == "test", int(k)) for k in index]
                ids = [f"{split}/{k:08d}" for k in index]
                writer.write_table(pa.table({"id": ids, "image": images, "label": index % CLASSES}, schema=schema))
        path.with_suffix(".part").replace(path)
    return settings


def _image(test: bool, k: int) -> bytes:
    """A JPEG of one of three gratings of class k modulo CLASSES, in its colour, with noise."""
    rng = np.random.default_rng((int(test), k))
    label, kind = k % CLASSES, int(rng.integers(3))
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    angle = np.pi * (label + 0.3 * kind) / CLASSES
    wave = np.sin(2 * np.pi * (2 + kind) * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 2 * np.pi))
    colour = np.array([1 + label % 3, 1 + label % 4, 1 + kind]) / 4
    pixels = 128 + 70 * wave[..., None] * colour + rng.normal(0, 40, (SIDE, SIDE, 3))
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="examples/digits.yaml")
    parser.add_argument("--out", required=True, help="run directory; stages that are done there are not run again")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="SECTION.KEY=VALUE")
    parser.add_argument("--no-control", action="store_true", help="leave the plain control out")
    parser.add_argument("--synthetic", type=int, default=0, metavar="N", help="use N made 32 x 32 images in 10 classes")
    parser.add_argument("--json", type=Path, metavar="PATH")
    given = parser.parse_args()
    made = synthetic(Path(f"{given.out}-images"), given.synthetic) if given.synthetic else []
    overrides = [*made, *given.overrides]
    stages = stages_of(load_settings(given.config, overrides), control=not given.no_control)
    arguments = ["--out", given.out, *(["--no-control"] if given.no_control else [])]
    arguments += [word for override in overrides for word in ("--set", override)]
    figures = [measure(stage.name, given.config, arguments) for stage in stages]
    print(f"{'stage':<10} {'seconds':>8} {'peak MB':>8}  process")
    for figure in figures:
        print(f"{figure.stage:<10} {figure.seconds:8.1f} {figure.peak_mb:8.0f}  {figure.process}")
    if given.json:
        record = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "stages": [asdict(figure) for figure in figures],
        }
        given.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
