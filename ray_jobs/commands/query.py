"""Command query: named or free Cypher over a run's hierarchy, read-only."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from csrms_dist.artefacts.file_systems import joined
from csrms_dist.artefacts.models import trains_nothing
from csrms_dist.artefacts.names import STORE
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.lookup import CLOSE, nearest
from csrms_dist.errors import ConfigError, StoreError
from graphstore.cypher import parameters as parameters_of
from graphstore.predictions import KIND as PREDICTIONS
from graphstore.queries import named_query
from graphstore.store import LONG_S, NO_LIMIT, ROW_LIMIT, TIMEOUT_S, GraphStore, is_truncated
from ray_jobs.commands.catalogue import FILLED, TOP, shown
from ray_jobs.places import has_embedded_store, store_of

LISTED = 10
RUNS = ("run", "other")
CLASSES = ("a", "b", "class")
"""Parameters that are keys of runs, and names of classes."""

_CLASS_NAMES = """
MATCH (:Run {key: $run})-[:OF_DATASET]->(d:Dataset)
MATCH (c:Class)-[:OF_DATASET]->(d)
RETURN c.name AS name
ORDER BY name
"""


def parse_parameters(pairs: Sequence[str]) -> dict[str, Any]:
    """'k=v' -> the text v; 'k:=v' -> the JSON value v."""
    parameters: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.rstrip(":"):
            raise ConfigError("--param", got=f"'{pair}'", expected="name=text or name:=JSON")
        if name.endswith(":"):
            try:
                parameters[name[:-1]] = json.loads(value, parse_constant=_no_constant)
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"--param {name[:-1]}", got=f"'{value}'", expected="a JSON value") from error
        else:
            parameters[name] = value
    return parameters


def _no_constant(word: str) -> None:
    """Python's parser takes NaN and Infinity, which are no JSON."""
    raise ValueError(word)


def query(
    run: RunDirectory,
    name: str = "",
    parameters: Mapping[str, Any] | None = None,
    *,
    cypher: str = "",
    limit: int | None = None,
    everything: bool = False,
) -> pa.Table:
    """Answer a named query or a Cypher text as an Arrow table of at most `limit` rows (None: 10,000), in at most 10 s.

    $run is what the run directory published unless given, $addition what it added to that, or else the newest; $top of
    a query for the first ones is `limit` (None: 100). The parameter `id` of a query about one image is the user's own
    id. everything: as many rows as there are, or `limit`, in at most ten minutes. `graphstore.store.is_truncated` tells
    whether there were more.

    Raises ConfigError for an unknown query, for a parameter that is unknown, missing or of the wrong kind, and for a
    class, a pattern, an image or a run in one that is not there; StoreError for what the store refuses. Both are one
    sentence.
    """
    named = None if cypher else named_query(name)
    wanted = named.parameters if named else tuple(parameters_of(cypher))
    most = NO_LIMIT if everything else ROW_LIMIT
    rows = min(most if limit is None else limit, most)
    given = dict(parameters or {})
    chosen = {parameter: given[parameter] for parameter in RUNS if parameter in given}
    if named and "top" in wanted:
        if limit is None and not everything and "top" not in given:
            rows = TOP
        given.setdefault("top", rows + 1)  # one more tells whether there are more
    _check_names(wanted, given)
    if named:
        given = {
            parameter: _of_kind(parameter, value, named.kinds.get(parameter)) for parameter, value in given.items()
        }
    with store_of(run) as store:
        if ("run" in wanted and "run" not in given) or not store.runs():
            key = published_run(run, store)  # also says why there is nothing to ask
            if "run" in wanted:
                given["run"] = key
        if named:
            for parameter, value in chosen.items():
                check_run(store, f"parameter {parameter}", value)
            _check_classes(store, given)
            _check_pattern(store, given)
            if "addition" in wanted:
                given["addition"] = _predictions(run, store, given)
        if "instance" in wanted and "id" in given:
            key = given.get("run") or published_run(run, store)
            given["instance"] = store.resolve_instance(str(given.pop("id")), key)
        table: pa.Table = store.query(named or cypher, given, limit=rows, timeout_s=LONG_S if everything else TIMEOUT_S)
    return table


def answer(
    run: RunDirectory,
    name: str,
    parameters: Mapping[str, Any],
    *,
    cypher: str = "",
    limit: int | None = None,
    to_file: bool = False,
) -> tuple[pa.Table, str]:
    """The answer for a file, all of it, or for a screen; and what is left out of it, in words, '' for nothing."""
    if to_file:
        table = query(run, name, parameters, cypher=cypher, limit=limit, everything=True)
        more = f"more than {table.num_rows:,} rows; leave --limit out for all" if is_truncated(table) else ""
        return table, more and f"{table.num_rows:,} of {more}"
    table = query(run, name, parameters, cypher=cypher, limit=ROW_LIMIT)
    first = limit or (TOP if name and "top" in named_query(name).parameters and "top" not in parameters else ROW_LIMIT)
    total = f"more than {table.num_rows:,}" if is_truncated(table) else f"{table.num_rows:,}"
    if table.num_rows <= first and not is_truncated(table):
        return table, ""
    return table.slice(0, first), f"{min(first, table.num_rows):,} of {total} rows; --out FILE writes all"


def published_run(run: RunDirectory, store: GraphStore) -> str:
    """The key of the run that this directory published.

    Raises StoreError when it has published none, or one that the store no longer holds: the answer about another run is
    no answer.
    """
    keys, stamp = [info.key for info in store.runs()], run.stamp("graph")
    if stamp is None:
        raise StoreError(run.uri, got="no graph that it published", remedy=_to_have_a_graph(keys))
    key = str(stamp["facts"]["run"])
    if key not in keys:
        raise StoreError(
            f"the run that {run.uri} published", got=f"{key}, which {store.location} does not hold",
            expected="one of " + _listed(keys) if keys else "a graph in it", remedy=_to_find_it(run, keys),
        )  # fmt: skip
    return key


def _to_have_a_graph(keys: Sequence[str]) -> str:
    """The advice for a run without a graph."""
    other = ", or name a run of `csrms runs` with --param run=KEY" if keys else ""
    return f"run `csrms graph CONFIG`, which goes on from what is done{other}"


def _to_find_it(run: RunDirectory, keys: Sequence[str]) -> str:
    """The advice for a graph that is not where it is looked for."""
    embedded = has_embedded_store(run)
    if os.environ.get("NEO4J_URI") and embedded:
        return f"unset NEO4J_URI to ask the embedded store in {joined(run.address, STORE)}"
    if not os.environ.get("NEO4J_URI") and not embedded:
        return "set NEO4J_URI if it was published to a server, or run `csrms graph CONFIG` again"
    return "run `csrms graph CONFIG` again" + (", or name another with --param run=KEY" if keys else "")


def _predictions(run: RunDirectory, store: GraphStore, given: Mapping[str, Any]) -> str:
    """The key of the predictions that are asked about: those given, else the run directory's own, else the newest."""
    keys = [info.key for info in store.additions(given["run"]) if (info.kind, info.status) == (PREDICTIONS, "ready")]
    if not keys:
        published = (run.stamp("graph") or {"facts": {}})["facts"].get("run")
        if published == given["run"] and (why := trains_nothing(run)):
            raise StoreError(
                run.uri, got=f"{why}, which trains nothing that could predict", expected="one on labelled images",
                remedy="name another with --run",
            )  # fmt: skip
        raise StoreError(
            f"run {given['run']}", got="no predictions that were added to it",
            remedy="run `csrms evaluate CONFIG` first, or name another run with --param run=KEY",
        )  # fmt: skip
    key = given.get("addition")
    if key and key not in keys:
        raise ConfigError("parameter addition", got=repr(key), expected="one of " + _listed(keys))
    own = (run.stamp("evaluate") or {"facts": {}})["facts"].get("addition")
    return str(key or (own if own in keys else keys[-1]))


def _check_names(wanted: Sequence[str], given: Mapping[str, Any]) -> None:
    known = shown(wanted)
    may = [*known, *(name for name in FILLED if name in wanted)]
    for name in given:
        if name not in (*wanted, *known):
            close = nearest(name, may, CLOSE)
            raise ConfigError(
                f"unknown parameter {name}", expected=" or ".join(may) or "none",
                remedy=close and f"the nearest is {close}",
            )  # fmt: skip
    for name in wanted:
        said = "id" if name == "instance" else name
        if name not in FILLED and name not in given and said not in given:
            needed = [other for other in known if other not in given]  # the defaults are among the given
            raise ConfigError(
                f"parameter {said}", got="no value", expected=f"values for {', '.join(needed)}",
                remedy=f"add --param {said}=...",
            )  # fmt: skip


def _of_kind(name: str, value: Any, kind: str | None) -> Any:
    """A value as the query wants it: `--param pattern=3` gives a text."""
    if kind != "INT64":
        return value
    try:
        return int(value) if isinstance(value, str) else operator.index(value)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"parameter {name}", got=repr(value), expected="a whole number") from error


def check_run(store: GraphStore, what: str, key: Any) -> None:
    """Raise ConfigError for a key that is no stored run's, `what` being where it was given."""
    keys = [info.key for info in store.runs()]
    if keys and key not in keys:
        raise ConfigError(what, got=repr(key), expected="one of " + _listed(keys))


def _check_pattern(store: GraphStore, given: Mapping[str, Any]) -> None:
    """A pattern that is not there would get an empty answer, as one without neighbours does."""
    if "pattern" not in given:
        return
    [last] = [info.n_patterns - 1 for info in store.runs() if info.key == given["run"]]
    if not 0 <= given["pattern"] <= last:
        raise ConfigError("parameter pattern", got=str(given["pattern"]), expected=f"a whole number in [0, {last}]")


def _check_classes(store: GraphStore, given: Mapping[str, Any]) -> None:
    """An unknown class would get an empty answer, as one that lies in no pattern does."""
    asked = [name for name in CLASSES if name in given]
    names = store.query(_CLASS_NAMES, {"run": given["run"]}, limit=1 << 30)["name"].to_pylist() if asked else []
    for name in asked:
        if names and given[name] not in names:
            close = nearest(str(given[name]), names, CLOSE)
            raise ConfigError(
                f"parameter {name}", got=repr(given[name]), expected="one of " + _listed([*map(repr, names)]),
                remedy=close and f"the nearest is {close!r}",
            )  # fmt: skip


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
