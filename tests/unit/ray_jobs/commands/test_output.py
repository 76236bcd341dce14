"""Answers as JSON that a JSON parser reads."""

from __future__ import annotations

import argparse
import datetime
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from csrms_dist.errors import ConfigError, RunDirectoryError
from ray_jobs.commands.output import as_json, check_out, flat, write
from ray_jobs.commands.query import parse_parameters


def strictly(text: str) -> Any:
    """As RFC 8259 has it, by a parser whose numbers are all float64."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    return json.loads(text, parse_constant=refuse, parse_int=float)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (float("nan"), None),
        (float("-inf"), None),
        (np.float32("nan"), None),
        (np.float32(0.5), 0.5),
        (0.1, 0.1),
        (2**53 - 1, 2**53 - 1),
        (2**53, str(2**53)),
        (-(2**63), str(-(2**63))),
        (True, True),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        ([1, (float("nan"), {"a": float("inf")})], [1, [None, {"a": None}]]),
    ],
)
def test_values_survive_a_strict_parser(value: Any, read: Any) -> None:
    assert strictly(as_json({"x": value})) == {"x": read}


def test_lists_in_csv_are_such_json_too() -> None:
    assert flat(pa.table({"x": [[1.0, float("nan")]]}))["x"].to_pylist() == ["[1.0, null]"]


@pytest.mark.parametrize("word", ["NaN", "-Infinity", "{", "[" * 100_000])
def test_a_parameter_that_is_no_json(word: str) -> None:
    with pytest.raises(ConfigError, match=r"--param x: got .*, expected a JSON value"):
        parse_parameters([f"x:={word}"])


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc")
@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "parquet"])
def test_a_place_where_no_file_can_be_made(ending: str) -> None:
    arguments = argparse.Namespace(out=f"/proc/x.{ending}", format="table")
    check_out(arguments)
    with pytest.raises(RunDirectoryError) as caught:
        write([pa.table({"a": [1]})], arguments)
    assert re.fullmatch(
        rf"/proc/x\.{ending}: got '[\w ]+', expected a place that can be written; choose another --out",
        str(caught.value),
    )


TABLES = [
    pa.table({"a": [1, 2], "b": ["x", "two\nlines"], "c": [[1.5], []]}),
    pa.table({"a": [3], "b": pa.array([None], pa.string()), "c": [[float("nan"), 2.0]]}),
]


def written(folder: Path, name: str, tables: Iterable[pa.Table]) -> bytes:
    path = folder / name
    write(tables, argparse.Namespace(out=str(path), format="table"))
    return path.read_bytes()


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "parquet"])
def test_tables_one_by_one_are_one_file(tmp_path: Path, ending: str) -> None:
    whole = pa.concat_tables(TABLES)
    found = written(tmp_path, f"x.{ending}", iter(TABLES))
    if ending == "parquet":
        assert pq.read_table(tmp_path / "x.parquet").to_pylist()[:2] == whole.to_pylist()[:2]
        assert pq.ParquetFile(tmp_path / "x.parquet").num_row_groups == 2
    else:
        assert found == written(tmp_path, f"y.{ending}", [whole])
    if ending == "json":
        assert found.decode() == as_json(whole.to_pylist(), 1) + "\n"
        assert written(tmp_path, "z.json", [whole.slice(0, 0)]) == b"[]\n"
    if ending == "jsonl":
        rows = [strictly(line) for line in found.decode().splitlines()]
        assert [row["a"] for row in rows] == [1, 2, 3]
        assert rows[2] == {"a": 3, "b": None, "c": [None, 2.0]}


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "parquet"])
def test_a_file_is_whole_or_not_there(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"x.{ending}").write_text("what was there")

    def tables() -> Iterator[pa.Table]:
        yield TABLES[0]
        raise PermissionError(13, "of an image, not of the file")

    with pytest.raises(PermissionError, match="of an image"):
        written(tmp_path, f"x.{ending}", tables())
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(f"x.{ending}", "what was there")]


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet"])
def test_into_a_pipe_tables_go_as_they_come(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    pipe = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr("sys.stdout", pipe)
    sizes = []

    def tables() -> Iterator[pa.Table]:
        for table in TABLES:
            yield table
            sizes.append(len(pipe.buffer.getvalue()))  # type: ignore[attr-defined]

    write(tables(), argparse.Namespace(out=None, format=form))
    assert 0 < sizes[0] < sizes[1]
