"""Answers as JSON that a JSON parser reads."""

from __future__ import annotations

import argparse
import datetime
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
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
@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_a_place_where_no_file_can_be_made(ending: str) -> None:
    arguments = argparse.Namespace(out=f"/proc/x.{ending}", format="table")
    check_out(arguments)
    with pytest.raises(RunDirectoryError) as caught:
        write(pa.table({"a": [1]}), arguments)
    assert re.fullmatch(
        rf"/proc/x\.{ending}: got '[\w ]+', expected a place that can be written; choose another --out",
        str(caught.value),
    )
