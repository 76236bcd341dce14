"""Command experiment: a grid of recipes, data sets and seeds as ordinary runs, and the tables of what came out."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pyarrow.parquet as pq

from csrms_dist.artefacts.files import write_whole
from csrms_dist.artefacts.names import RECORD
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.words import counted
from csrms_dist.errors import ConfigError
from ray_jobs.experiments.spec import Spec, load_spec
from ray_jobs.places import RUNS, run_directory

RESULTS, TABLES = "results.parquet", "tables.md"


def _listing(spec: Spec) -> str:
    """The rows and how many runs they make."""
    cells = [row for data in spec.data for row in spec.rows_of(data)]
    search = len(cells) * (len(spec.lr) if len(spec.lr) > 1 else 0)
    final = sum(len(spec.seeds_of(row)) for row in cells)
    lines = [
        ": ".join(filter(None, (f"{spec.name}{f', size {spec.size}' if spec.size else ''}", spec.about))),
        f"data: {', '.join(spec.data)}",
    ]
    lines += [f"  {row.name}, {counted(len(spec.seeds_of(row)), 'seed')}" for row in spec.rows]
    lines += [f"  {name}: not built, {why}" for name, why in spec.not_built.items()]
    lines.append(f"at most {search} runs to choose the lr, {final} to compare")
    return "\n".join(lines)


def execute(arguments: argparse.Namespace) -> str:
    """Run what is not done yet and write results.parquet and tables.md; the text to print."""
    from ray_jobs.experiments.comparison import tables
    from ray_jobs.experiments.report import results_table, tables_text
    from ray_jobs.experiments.runner import run_experiment

    spec = load_spec(arguments.spec, arguments.size, tuple(arguments.overrides))
    if arguments.list:
        return _listing(spec)
    jobs = arguments.jobs if arguments.jobs is not None else os.cpu_count() or 1
    if jobs < 1:
        raise ConfigError("--jobs", got=str(jobs), expected="1 or more")
    named = "-".join(filter(None, (spec.name, spec.size)))
    out = run_directory(arguments.out or Path(RUNS) / named)
    if out.read_json(RECORD) is not None:
        raise ConfigError("--out", got=f"{out.uri}, the directory of a run", expected="a folder for an experiment")
    searched, final = run_experiment(spec, RunDirectory(out.path), jobs)
    text = tables_text(spec, tables(spec, searched, final))
    pq.write_table(results_table([*searched, *final]), out.path / RESULTS)
    write_whole(out.path / TABLES, text.encode())
    return f"{text}\n{out.path / TABLES}, {out.path / RESULTS}"
