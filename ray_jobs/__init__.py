"""Thin jobs around the library: one file a stage, named as its command. `run` is the whole pipeline in one call."""

from ray_jobs.pipeline import RunResult, run

__all__ = ["RunResult", "run"]
