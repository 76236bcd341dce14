"""Does the method help? Method against its plain control, paired by seed, at equal encoder passes.

    python benchmarks/paired_seeds.py examples/digits.yaml --seeds 5 --json paired.json

One run's interval covers the test images alone; the spread over seeds is the larger part. Prints a line a seed and the
mean with its standard error; a difference below two standard errors is not a difference.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
from pathlib import Path

from ray_jobs import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="examples/digits.yaml")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="SECTION.KEY=VALUE")
    parser.add_argument("--quick", action="store_true", help="two seeds, under two minutes")
    parser.add_argument("--json", type=Path, metavar="PATH")
    arguments = parser.parse_args()
    os.environ.setdefault("CI", "true")
    methods, controls = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(2 if arguments.quick else arguments.seeds):
            done = run(arguments.config, Path(folder) / str(seed), (*arguments.overrides, f"seed={seed}"))
            methods.append(done.metrics["test"]["plain"])
            controls.append(done.metrics["control"]["test"])
            print(f"seed {seed}   method {methods[-1]:.4f}   control {controls[-1]:.4f}", flush=True)
    differences = [m - c for m, c in zip(methods, controls, strict=True)]
    mean = statistics.fmean(differences)
    error = statistics.stdev(differences) / len(differences) ** 0.5
    verdict = "a difference" if abs(mean) > 2 * error else "within noise"
    print(f"plain head minus control: {100 * mean:+.2f} +- {100 * error:.2f} points (standard error): {verdict}")
    if arguments.json:
        record = {
            "name": "test accuracy, plain head",
            "ours": statistics.fmean(methods),
            "peer": statistics.fmean(controls),
            "peer_name": "plain control at equal encoder passes",
            "unit": "fraction",
            "ratio": statistics.fmean(methods) / statistics.fmean(controls),
            "spread": error,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "commit": subprocess.run(
                ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
            ).stdout.strip(),
        }
        arguments.json.write_text(json.dumps([record], indent=1) + "\n")


if __name__ == "__main__":
    main()
