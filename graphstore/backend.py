"""The half of a store that does not depend on its engine, and the errors that every store says in the same words."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa

from csrms_dist.errors import StoreError
from csrms_dist.hierarchy.graph import HierarchyGraph
from graphstore.cypher import reading
from graphstore.queries import NamedQuery
from graphstore.read_back import Columns, read_additions, read_hierarchy, read_instance
from graphstore.schema import Schema
from graphstore.store import ROW_LIMIT, TIMEOUT_S, TRUNCATED, AdditionInfo, GraphStore, RunInfo, dataset_of

RUNS = ("run", "other")
"""Parameters of queries that are keys of runs."""


class Backend(GraphStore):
    """A GraphStore that lacks its engine: how to close it, to list its runs, to publish and to answer.

    schema: the node and edge types.
    """

    schema: Schema

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _answer(
        self, text: str, params: Mapping[str, Any], named: NamedQuery | None, limit: int, timeout_s: float
    ) -> pa.Table:
        """The rows of a checked query, as plain columns.

        text: without comments. params: a value for each of its parameters. named: the named query that it is, if any.
        limit: rows after the first limit + 1 may be left out. timeout_s: after which the engine gives up.
        """

    @abstractmethod
    def _read(self, query: str | Columns, params: Mapping[str, Any]) -> pa.Table:
        """All rows of one of our own queries, whatever time it takes. See graphstore.read_back."""

    @abstractmethod
    def _live_runs(self) -> Mapping[str, str]:
        """The key of the live run of each data set."""

    @abstractmethod
    def _schema_version(self, run: str) -> int | None:
        """That of the rows of a stored run, or None when there is no such run."""

    def query(
        self,
        query: str | NamedQuery,
        params: Mapping[str, Any] | None = None,
        *,
        limit: int = ROW_LIMIT,
        timeout_s: float = TIMEOUT_S,
    ) -> pa.Table:
        """Answer one reading query; see GraphStore.query."""
        named = query if isinstance(query, NamedQuery) else None
        check_limits(limit, timeout_s)
        given = dict(params or {})
        text = reading(query.text if isinstance(query, NamedQuery) else query, given)
        for run in (given[name] for name in RUNS if isinstance(given.get(name), str)):
            version = self._schema_version(run)
            if version is not None:
                refuse_older(run, version, self.schema.version)
        return with_limit(self._answer(text, given, named, limit, timeout_s), limit)

    def live_run(self, dataset: str = "") -> str | None:
        """The key of a data set's live run; see GraphStore.live_run."""
        live = self._live_runs()
        if dataset or len(live) < 2:
            return live.get(dataset or next(iter(live), ""))
        raise StoreError("the live run", got=f"{len(live)} data sets", expected="one of " + ", ".join(sorted(live)))

    def additions(self, run: str) -> list[AdditionInfo]:
        """The additions to a run, oldest first; see GraphStore.additions."""
        known = [info.key for info in self.runs()]
        if run not in known:
            raise unknown_run(run, known)
        return read_additions(self._read, run)

    def resolve_instance(self, source_id: str, run: str) -> str:
        """The key of the instance with the user's own id `source_id`; see GraphStore.resolve_instance."""
        return read_instance(self._read, source_id, dataset_of(run))

    def export(self, run: str) -> HierarchyGraph:
        """The hierarchy of a run, read from its edges in ranges of a bounded length; see GraphStore.export."""
        return read_hierarchy(self._read, ready_run(self.runs(), run))


def unknown_run(run: str, known: Sequence[str]) -> StoreError:
    """The error for a run that the store does not hold."""
    return StoreError("the run", got=repr(run), expected="one of " + (", ".join(known) or "none published"))


def ready_run(infos: Sequence[RunInfo], run: str) -> RunInfo:
    """The stored run of this key. Raises StoreError when there is none, or when it is not wholly loaded."""
    info = next((info for info in infos if info.key == run), None)
    if info is None:
        raise unknown_run(run, [info.key for info in infos])
    if info.status != "ready":
        raise StoreError(
            f"run {run}", got=f"status {info.status}", expected="ready", remedy="publish it again to finish it"
        )
    return info


def refuse_older(run: str, version: int, newest: int) -> None:
    """Raise StoreError when the rows of a run are of an older schema: it lacks what is asked for, or added to."""
    if version < newest:
        raise StoreError(
            f"run {run}", got=f"schema version {version}", expected=str(newest),
            remedy="an older csrms-dist published it: run `csrms graph CONFIG` again",
        )  # fmt: skip


def refuse_retiring_live(run: str, live: str | None) -> None:
    """Raise StoreError when the run is live."""
    if run == live:
        raise StoreError(
            f"run {run}", got="the live run of its data set", expected="another", remedy="make another one live first"
        )


def refuse_other_rows(addition: str, stored: str, given: str) -> None:
    """Raise StoreError when the addition is stored with other rows than are added now; both are digests."""
    if stored != given:
        raise StoreError(
            f"addition {addition}",
            got="other rows than are stored under the same fingerprint",
            expected="the same ones, because an addition never changes",
            remedy="add them under a fingerprint of all inputs",
        )


def refuse_other_content(run: str, stored: str, given: str) -> None:
    """Raise StoreError when the run is stored with other content than is published now; both are digests."""
    if stored != given:
        raise StoreError(
            f"run {run}",
            got="other instances, labels or patterns than are stored under the same fingerprint",
            expected="the same ones, because a stored run never changes",
            remedy="publish under a fingerprint of all inputs",
        )


def nothing_published(place: str) -> StoreError:
    """The error for a query to a store that holds no run."""
    return StoreError(f"no graph is published in {place}", remedy="run `csrms graph CONFIG` first")


def whole_in_answer(kind: str) -> StoreError:
    """The error for a query that returns a whole node, rel or path."""
    return StoreError("the query", got=f"a whole {kind} in RETURN", expected="properties such as n.key")


def columns_of_one_name() -> StoreError:
    """The error for a query that gives one name to two columns."""
    return StoreError("the query", got="two columns of one name", expected="distinct names", remedy="use AS")


def check_version(place: str, found: int, newest: int) -> None:
    """Raise StoreError when a newer version of this package wrote the graph."""
    if found > newest:
        raise StoreError(
            f"the graph in {place}", got=f"schema version {found}", expected=f"{newest} or lower",
            remedy="a newer csrms-dist wrote it: upgrade this one",
        )  # fmt: skip


def plain_parameter(value: Any) -> Any:
    """A NumPy scalar or array as what a driver sends; anything else as it is."""
    if isinstance(value, np.generic):
        return value.item()
    return value.tolist() if isinstance(value, np.ndarray) else value


def check_limits(limit: int, timeout_s: float) -> None:
    """Raise StoreError unless both are more than 0."""
    if limit < 1 or not timeout_s > 0:
        raise StoreError("limit and timeout", got=f"{limit} and {timeout_s}", expected="more than 0")


def with_limit(table: pa.Table, limit: int) -> pa.Table:
    """The first `limit` rows, noting in the schema's metadata whether there were more."""
    return table.slice(0, limit).replace_schema_metadata({TRUNCATED: str(table.num_rows > limit).lower().encode()})
