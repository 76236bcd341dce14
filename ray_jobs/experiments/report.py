"""The results of an experiment as files: results.parquet, a row a run, and tables.md for a person."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ray_jobs.experiments.comparison import ERRORS, LEAST_SEEDS, Line, Table, verdict
from ray_jobs.experiments.spec import Spec
from ray_jobs.stages.versions import versions

SHOWN = {
    "accuracy": ("accuracy", "top_5"),
    "mAP": ("mAP", "P@1", "P@5", "R@1", "R@5"),
}
"""The columns of a table, names of metrics, by its metric."""
HEADINGS = {"accuracy": "ACC@1", "top_5": "ACC@5"}


def results_table(outcomes: Iterable[Mapping[str, Any]]) -> pa.Table:
    """A row a run: what is noted of it (kind is 'search' or 'final'), and each metric under its name; null where it has
    none."""
    rows = []
    for some in outcomes:
        kept = ("data", "row", "kind", "seed", "lr", "score", "passes", "seconds", "reads", "failed", "run", "head")
        rows.append({key: some.get(key) for key in kept} | dict(some.get("figures") or {}))
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def tables_text(spec: Spec, tables: Sequence[Table]) -> str:
    """Markdown: a table for each data set, and what it allows to say."""
    title = f"# {spec.name}" + (f", size {spec.size}" if spec.size else "")
    lines = [title, ""]
    if spec.about:
        lines += [spec.about, ""]
    if spec.unrun:
        lines += ["The authors of this spec have not run this size.", ""]
    lines += [_how(spec), ""]
    for table in tables:
        lines += [*_table(spec, table), ""]
    for name, why in spec.not_built.items():
        lines.append(f"- {name}: not built, {why}")
    lines += ["", _where()]
    return re.sub("\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _how(spec: Spec) -> str:
    grid = ", ".join(f"{lr:g}" for lr in spec.lr)
    chosen = (
        f"For each row the lr was chosen from {grid} by the validation images with seed {spec.lr_seed}"
        if len(spec.lr) > 1
        else f"lr {grid} throughout"
    )
    return (
        f"{chosen}; then seeds {', '.join(map(str, spec.seeds))}. Mean and standard deviation over seeds; the "
        f"difference to a row's baseline is paired by seed, with its standard error, the 95 % interval of a bootstrap "
        f"over seeds and images, and the p of a sign-flip permutation test over seeds. *better* and *worse* take "
        f"{LEAST_SEEDS} seeds, an interval without 0 and more than {ERRORS:g} standard errors; where a remark follows "
        "they are no claim: an lr at the end of its grid leaves open what lies beyond."
    )


def _table(spec: Spec, table: Table) -> list[str]:
    shown = [name for name in SHOWN[table.metric] if any(line.figures.get(name) for line in table.lines)]
    heads = ["row", "lr", "seeds", *(HEADINGS.get(name, name) for name in shown), *spec.columns]
    heads += [f"{table.metric} minus baseline", "95 % interval", "p", "says"]
    val, test = table.images
    counts = f"{test:,} test images, {val:,} validation images" if test else "no run has a score"
    lines = [
        f"## {table.data}: {counts}",
        "",
        _cells(heads),
        _cells(["---"] * len(heads)),
    ]
    lines += [_cells([*_figures(line, shown, spec.columns), *_difference(line), verdict(line)]) for line in table.lines]
    lines.append("")
    for claim in table.claims:
        lines += [f"**{claim}**", ""]
    missing = [name for name in spec.columns if not any(line.figures.get(name) for line in table.lines)]
    lines += [f"- no run has the figure {name}" for name in missing]
    lines += [f"- warning of {warning}" for warning in table.warnings]
    return lines


def _figures(line: Line, shown: Sequence[str], columns: Sequence[str]) -> list[str]:
    if line.failed:
        return [line.row.name, "", "0", *("" for _ in (*shown, *columns))]
    lr = "-" if line.lr is None else f"{line.lr:g}"
    return [line.row.name, lr, str(len(line.scores)), *(_mean(line.figures.get(name, ())) for name in shown)] + [
        f"{np.mean(line.figures[name]):.6g}" if line.figures.get(name) else "" for name in columns
    ]


def _mean(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = f" ± {100 * np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.2f}{spread}"


def _difference(line: Line) -> list[str]:
    found = line.against
    if found is None:
        return ["", "", ""]
    error = f" ± {100 * found.error:.2f}" if found.seeds > 1 else ""
    p = f"{found.p:.3f} (least {found.smallest_p:.3f})" if found.seeds > 1 else ""
    return [f"{100 * found.mean:+.2f}{error}", f"[{100 * found.low:+.2f}, {100 * found.high:+.2f}]", p]


def _cells(values: Sequence[str]) -> str:
    return "| " + " | ".join(value.replace("|", "/") for value in values) + " |"


def _where() -> str:
    found = versions()
    said = ", ".join(f"{name} {version}" for name, version in found.items() if name in ("csrms-dist", "torch"))
    commit = _commit()
    return f"{said}{f', commit {commit}' if commit else ''}; {platform.machine()}, {os.cpu_count()} cores"


def _commit() -> str:
    """Of the checkout that this file lies in; '' for an installed package."""
    here = Path(__file__)
    found = ""
    for asked in (["ls-files", "--error-unmatch", here.name], ["describe", "--always", "--dirty"]):
        try:
            said = subprocess.run(
                ["git", "-C", str(here.parent), *asked], capture_output=True, text=True, check=False
            )  # fmt: skip
        except OSError:
            return ""
        if said.returncode:
            return ""
        found = said.stdout.strip()
    return found
