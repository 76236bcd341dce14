"""The figures of a stage that is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from csrms_dist.artefacts.names import METRICS
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.methods.stages import EVALUATE

REPORTED = ("test", "val")
"""What of metrics.json is a figure of the stage that writes it."""


def stage_figures(
    run: RunDirectory, stage: str, entry: Mapping[str, Any], tallies: Mapping[str, float]
) -> dict[str, float]:
    """seconds, peak_mb, passes_backward, passes_forward, bytes (of the artefact's files), rows and rows_per_s where
    rows were counted, retries; of `evaluate` the metrics 'test/<head>' and 'val/<head>' too.

    entry: of the stage in run.json. tallies: what was counted while it ran.
    """
    stamp = run.stamp(stage) or {"files": {}}
    found = {name: float(entry[name]) for name in ("seconds", "peak_mb") if name in entry}
    found |= {f"passes_{kind}": float(n) for kind, n in entry.get("passes", {}).items()}
    found["bytes"] = float(sum(stamp["files"].values()))
    found["retries"] = tallies.get("retries", 0.0)
    if rows := tallies.get("rows", 0.0):
        found["rows"] = rows
        if found.get("seconds", 0.0) > 0:
            found["rows_per_s"] = rows / found["seconds"]
    if stage == EVALUATE.name:
        metrics = run.read_json(METRICS) or {}
        found |= dict(_numbers({part: metrics.get(part) for part in REPORTED}))
    return found


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in nested JSON, by 'a/b'; lists are left out."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            # A user's own metric is named module:name, and not every tracker takes a colon.
            yield from _numbers(inner, f"{name}/{key}".strip("/").replace(":", "."))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, float(value)
