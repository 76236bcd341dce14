"""Metrics are Ray's where Ray runs; where it does not, nothing is loaded for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
TOLD = """
from csrms_dist.basics.listening import Measured, Shown, Tallied, Warned
from ray_jobs.on_ray.prometheus import Prometheus

def tell(metrics):
    metrics.enter("train")
    metrics.hear(Measured({"epoch": 3.0, "images": 50.0, "loss": 0.25, "plain_accuracy": 0.5}, 3))
    metrics.hear(Shown("train", 3, 12, "epochs", 0, 0, ""))
    metrics.hear(Shown("candidates", 12, 12, "anchors", 0, 0, ""))
    metrics.hear(Tallied("retries", 1))
    metrics.hear(Tallied("rows", 7))
    metrics.hear(Warned("careful"))

metrics = Prometheus("mine")
tell(metrics)
"""
WITHOUT = TOLD + "import sys; assert not {'ray', 'torch'} & set(sys.modules)"
WITH = (
    TOLD
    + """
import time, urllib.request
from ray_jobs.on_ray.session import ray_session
with ray_session(2):
    import ray
    tell(metrics)
    node = ray.nodes()[0]
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    deadline = time.monotonic() + 120
    found = ""
    while "ray_csrms_accuracy{" not in found and time.monotonic() < deadline:
        time.sleep(1)
        found = urllib.request.urlopen(url, timeout=60).read().decode()
print(found)
"""
)


def run(text: str, timeout_s: float) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", text], env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=timeout_s, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_ray_nothing_is_loaded() -> None:
    run(WITHOUT, 120)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_session_of_our_own_offers_them() -> None:
    rows = [line for line in run(WITH, 500).splitlines() if line.startswith("ray_csrms_")]
    found = {line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in rows}
    assert found == {
        "ray_csrms_stage_done": 0.25,
        "ray_csrms_epoch": 3,
        "ray_csrms_loss": 0.25,
        "ray_csrms_accuracy": 0.5,
        "ray_csrms_rows_total": 57,  # what happened before Ray was up is not counted
        "ray_csrms_retries_total": 1,
        "ray_csrms_warnings_total": 1,
    }
    assert all('run="mine"' in line and 'stage="train"' in line for line in rows)
    assert ['head="plain"' in line for line in rows if "accuracy" in line] == [True]
