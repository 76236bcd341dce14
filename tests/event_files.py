"""What stands in TensorBoard's files."""

from __future__ import annotations

from pathlib import Path


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) by tag, in the order in which they were written."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {tag: [(e.step, round(e.value, 5)) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
