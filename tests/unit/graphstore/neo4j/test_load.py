"""The ledger: rows are written once, whatever fails."""

from __future__ import annotations

import threading
from typing import Any

import pyarrow as pa
import pytest

from csrms_dist.errors import StoreError
from graphstore.figures import Figures
from graphstore.neo4j.load import UNIT, UNITS, AlreadyWrittenError, Loader, TooLargeError
from graphstore.rows import Rows, content_of
from graphstore.schema import SCHEMA


class Ledger:
    """Stands for the server at the loader's port: keeps what is written, and may fail as a server does."""

    def __init__(self) -> None:
        self.done: set[str] = set()
        self.sizes: list[int] = []
        self.rows: list[Any] = []
        self.most_units = UNITS
        self.lost_answer = False
        self.lock = threading.Lock()

    def write(self, statements: Any) -> None:
        with self.lock:
            self.write_one(statements)

    def write_one(self, statements: Any) -> None:
        (_, noted, n), *others = statements
        assert n == len(noted["units"])
        if len(noted["units"]) > self.most_units:
            raise TooLargeError
        if self.done & set(noted["units"]):
            raise AlreadyWrittenError
        self.done |= set(noted["units"])
        self.sizes.append(len(noted["units"]))
        for _, params, expected in others:
            rows = params.get("rows") or [row for _, group in params["groups"] for row in group]
            assert len(rows) == expected
            self.rows += rows
        if self.lost_answer:
            self.lost_answer = False
            raise AlreadyWrittenError  # the driver tried once more after the connection broke

    def ask(self, text: str, params: dict[str, Any]) -> Any:
        return [key for key in self.done if key.startswith(params["of"])]


def tables(n: int) -> dict[str, Rows]:
    made = {kind.table: Rows.of(kind.arrow().empty_table()) for kind in SCHEMA.types}
    keys = [f"d/{i}" for i in range(n)]
    made["Instance"] = Rows.of(
        pa.table(
            {name: keys if name != "idx" else list(range(n)) for name in SCHEMA.node("Instance").arrow().names},
            schema=SCHEMA.node("Instance").arrow(),
        )
    )
    edges = {"from": keys, "to": [f"r#{i % 7}" for i in range(n)], "score": [0.5] * n, "difficulty": [0.25] * n}
    edges |= Figures.none(n).columns(0, n, [])
    made["Instance.IN_PATTERN.Pattern"] = Rows.of(pa.table(edges).cast(SCHEMA.edges[4].arrow()))
    return made


def loader(ledger: Ledger, n: int) -> Loader:
    return Loader(SCHEMA, tables(n), "run", "shared", ledger.write, ledger.ask)


def test_rows_are_written_once_in_transactions_of_many() -> None:
    ledger, n = Ledger(), 2 * UNIT * UNITS + 3
    loader(ledger, n).load()
    assert sorted(ledger.sizes) == sorted([UNITS, UNITS, 1] * 2)
    nodes, edges = ledger.rows[:n], ledger.rows[n:]
    assert sorted(row[0] for row in nodes) == sorted(f"d/{i}" for i in range(n))
    assert sorted(row[0] for row in edges) == sorted(f"d/{i}" for i in range(n))
    loader(ledger, n).load()
    assert len(ledger.rows) == 2 * n


def test_too_little_memory_makes_transactions_smaller() -> None:
    ledger, n = Ledger(), UNIT * UNITS
    ledger.most_units = 1
    loader(ledger, n).load()
    assert set(ledger.sizes) == {1}
    assert len(ledger.rows) == 2 * n
    ledger.most_units = 0
    with pytest.raises(StoreError, match="too little memory"):
        loader(ledger, n + 1).load()


def test_a_lost_answer_is_not_written_again() -> None:
    ledger, n = Ledger(), 3 * UNIT * UNITS
    ledger.lost_answer = True
    loader(ledger, n).load()
    assert len(ledger.rows) == 2 * n


@pytest.mark.parametrize("width", [1, 3, 1000])
def test_a_digest_of_rows_does_not_depend_on_blocks(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = content_of(tables(50).items())
    monkeypatch.setattr("graphstore.rows.BLOCK", width)
    assert content_of(tables(50).items()) == whole
    assert content_of(tables(51).items()) != whole
