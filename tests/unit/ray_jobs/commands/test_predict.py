"""`csrms predict -`: lines as they arrive; and what it says of images that it could not read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_jobs.commands.predict import arriving, noted
from tests.unit.ray_jobs.conftest import Cli


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


@given(st.binary(max_size=400), st.integers(1, 5))
def test_every_line_that_is_not_blank_comes_once_in_order(text: bytes, most: int) -> None:
    with pipe() as (reading, writing):
        os.write(writing, text)
        os.close(writing)
        found = list(arriving(reading, most))
    assert [line for lines in found for line in lines] == [line for line in text.split(b"\n") if line.strip()]
    assert all(1 <= len(lines) <= most for lines in found)


def test_what_is_there_is_given_before_more_is_waited_for() -> None:
    with pipe() as (reading, writing):
        lines = arriving(reading, 3)
        os.write(writing, b"a.png\n")
        assert next(lines) == [b"a.png"]
        os.write(writing, b"b.png\nc.p")
        assert next(lines) == [b"b.png"]
        os.write(writing, b"ng\n\nd.png\ne.png\nf.png\n")
        assert next(lines) == [b"c.png", b"d.png", b"e.png"]
        assert next(lines) == [b"f.png"]
        os.write(writing, b"last")
        os.close(writing)
        assert list(lines) == [[b"last"]]


def test_a_file_larger_than_what_is_read_at_once(tmp_path: Path) -> None:
    expected = [f"{n}.png".encode() for n in range(40_000)]
    (tmp_path / "paths").write_bytes(b"\n".join(expected))
    with (tmp_path / "paths").open("rb") as file:
        assert [line for lines in arriving(file.fileno(), 1000) for line in lines] == expected


def test_nothing_is_said_before_an_image_could_be_read() -> None:
    def table(*problems: str | None) -> pa.Table:
        return pa.table({"id": [str(n) for n in range(len(problems))], "problem": pa.array(problems, pa.string())})

    said: list[str] = []
    tables = noted(iter([table("a", "b"), table("c", None), table("d")]), said.append)
    assert next(tables)
    assert said == []
    assert next(tables)
    assert said == [f"csrms predict: {n} was set aside: {why}" for n, why in ((0, "a"), (1, "b"), (0, "c"))]
    assert next(tables)
    assert said[3:] == ["csrms predict: 0 was set aside: d"]


@pytest.mark.parametrize("words", [("-", "a.png"), ("-", "--out", "x.csv"), ("-", "--format", "csv")])
def test_a_dash_stands_alone(cli: Cli, words: tuple[str, ...]) -> None:
    said = cli("predict", *words)
    assert said.code == 2
    assert said.err == (
        "csrms predict: the path -: got other paths, --out or --format beside it, expected it alone; "
        "it reads paths and prints lines of JSON\n"
    )
