"""Thin jobs around the library: stages, commands, and what runs on Ray. `run` is the whole pipeline in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray_jobs.pipeline import RunResult, run

__all__ = ["RunResult", "run"]


def __getattr__(name: str) -> Any:
    # Looked up when asked for: `csrms --help` loads neither torch nor Ray.
    if name in __all__:
        from ray_jobs import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'ray_jobs' has no attribute '{name}'")
