"""Command query: named or free Cypher over a run's hierarchy, read-only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from csrms_dist.errors import ConfigError, RunDirectoryError
from csrms_dist.run_directory import RunDirectory
from graphstore.cypher import parameters as parameters_of
from graphstore.queries import named_queries, named_query
from graphstore.store import ROW_LIMIT, TIMEOUT_S
from ray_jobs.wiring import store_of

CELL_WIDTH = 60


def find_run(given: str | Path | None) -> RunDirectory:
    """The run directory that was named, or the one below runs/ that was written last."""
    if given is not None:
        if "://" not in str(given) and not (Path(given) / "run.json").is_file():
            raise RunDirectoryError(
                f"{given}", got="no run.json in it", expected="a run directory", remedy="check --run"
            )
        return RunDirectory(given)
    found = sorted(Path("runs").glob("*/run.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise RunDirectoryError("runs/", got="no run in it", expected="a run", remedy="name one with --run DIR")
    return RunDirectory(found[-1].parent)


def parse_parameters(pairs: Sequence[str]) -> dict[str, Any]:
    """'k=v' -> the text v; 'k:=v' -> the JSON value v."""
    parameters: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.rstrip(":"):
            raise ConfigError("--param", got=f"'{pair}'", expected="name=text or name:=JSON")
        if name.endswith(":"):
            try:
                parameters[name[:-1]] = json.loads(value)
            except json.JSONDecodeError as error:
                raise ConfigError(f"--param {name}", got=f"'{value}'", expected="a JSON value") from error
        else:
            parameters[name] = value
    return parameters


def query(
    run: RunDirectory,
    name: str = "",
    parameters: Mapping[str, Any] | None = None,
    *,
    cypher: str = "",
    limit: int = ROW_LIMIT,
) -> pa.Table:
    """Answer a named query or a Cypher text as an Arrow table of at most `limit` rows, in at most 10 s.

    $run is the run's live version unless given; the parameter `id` of a query about one image is the user's own id.
    Raises StoreError, in one sentence.
    """
    given = dict(parameters or {})
    asked = cypher or named_query(name)
    wanted = set(parameters_of(asked) if isinstance(asked, str) else asked.parameters)
    with store_of(run) as store:
        if "run" in wanted and "run" not in given:
            given["run"] = store.live_run()
        if "instance" in wanted and "instance" not in given and "id" in given:
            given["instance"] = store.resolve_instance(str(given.pop("id")))
        table: pa.Table = store.query(asked, given, limit=min(limit, ROW_LIMIT), timeout_s=TIMEOUT_S)
    return table


def as_text(table: pa.Table) -> str:
    """An Arrow table as aligned columns."""
    columns = [[name, *map(_cell, table[name].to_pylist())] for name in table.column_names]
    widths = [max(map(len, column)) for column in columns]
    rows = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*columns, strict=True)
    ]
    return "\n".join(rows)


def _cell(value: Any) -> str:
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    text = text.replace("\n", " ")
    return text if len(text) <= CELL_WIDTH else text[: CELL_WIDTH - 3] + "..."


def catalogue() -> str:
    """The named queries: name, parameters, purpose."""
    lines = []
    for name, item in named_queries().items():
        parameters = " ".join(f"--param {'id' if p == 'instance' else p}=..." for p in item.parameters if p != "run")
        lines.append(f"{name} {parameters}".rstrip() + f"\n    {item.doc.partition(' Parameters:')[0]}")
    return "\n".join(lines)
